"""What is wrong with a topology, where it stands in the file, and how to put it right."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tellonce.model.errors import ConfigurationError

__all__ = ["Finding", "Position", "Severity", "refusal"]

# More than a person reads at once; a file of another kind can break thousands of rules.
_MOST_SHOWN = 100


class Severity(StrEnum):
    """Whether a topology with this finding may be used."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Position:
    """A place in a file; lines and columns count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong or doubtful; `str()` is ``file:line:column: expected …, found …; how to fix [rule]``."""

    rule: str
    severity: Severity
    file: str
    position: Position
    expected: str
    found: str
    fix: str

    def __str__(self) -> str:
        """The finding as one line that editors and terminals can jump from."""
        kind = "warning: " if self.severity is Severity.WARNING else ""
        place = f"{self.file}:{self.position.line}:{self.position.column}"
        return f"{place}: {kind}expected {self.expected}, found {self.found}; {self.fix} [{self.rule}]"


def refusal(findings: Sequence[Finding]) -> ConfigurationError:
    """One error that lists all of these findings, in file order; `findings` holds at least one."""
    ordered = sorted(findings, key=lambda finding: finding.position)
    lines = [str(finding) for finding in ordered[:_MOST_SHOWN]]
    if len(ordered) > _MOST_SHOWN:
        lines.append(f"{ordered[0].file}: and {len(ordered) - _MOST_SHOWN} more")
    return ConfigurationError(
        "\n".join(lines),
        file=ordered[0].file,
        line=ordered[0].position.line,
        column=ordered[0].position.column,
        rule=ordered[0].rule,
        findings=len(ordered),
    )
