"""What the lint rules have in common: collecting findings, and telling words from placeholders."""

from tellonce.topology.findings import Finding, Position, Severity
from tellonce.topology.source import Location, TopologySource

__all__ = ["Report", "is_placeholder"]

_PLACEHOLDERS = frozenset(
    {"na", "nil", "no", "none", "null", "pending", "tba", "tbc", "tbd", "todo", "unknown", "xx", "xxx"}
    | {"无", "暂无", "未知", "待定", "待补", "待补充", "待填写"}
)


class Report:
    """Findings gathered while a topology is walked."""

    def __init__(self, source: TopologySource) -> None:
        self.findings: list[Finding] = []
        self._source = source

    def key(self, location: Location) -> Position:
        """Where the key at `location` is written."""
        return self._source.key_at(location)

    def value(self, location: Location) -> Position:
        """Where the value at `location` begins."""
        return self._source.value_at(location)

    def error(self, rule: str, position: Position, expected: str, found: str, fix: str) -> None:
        """Adds a finding with which the topology may not be used."""
        self._add(Severity.ERROR, rule, position, expected, found, fix)

    def warning(self, rule: str, position: Position, expected: str, found: str, fix: str) -> None:
        """Adds a finding that a person should look at."""
        self._add(Severity.WARNING, rule, position, expected, found, fix)

    def _add(self, severity: Severity, rule: str, position: Position, expected: str, found: str, fix: str) -> None:
        file = self._source.name
        self.findings.append(
            Finding(rule=rule, severity=severity, file=file, position=position, expected=expected, found=found, fix=fix)
        )


def is_placeholder(text: str | None) -> bool:
    """Whether `text` says nothing: absent, no letter or digit in it, or a word such as TBD or 待定."""
    if text is None:
        return True
    letters = "".join(character for character in text.casefold() if character.isalnum())
    return not letters or letters in _PLACEHOLDERS
