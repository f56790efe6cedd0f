"""topology.yaml from a file or a text to a checked topology, or one error that lists everything to be put right."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tellonce.model.errors import ConfigurationError
from tellonce.topology.findings import Finding, Position, Severity, refusal
from tellonce.topology.lint import lint_topology
from tellonce.topology.model import Topology, TopologyForm
from tellonce.topology.shape import shape_findings
from tellonce.topology.source import TopologySource, read_source
from tellonce.topology.tokens import START, printable, unreadable

__all__ = ["CheckedTopology", "check_topology", "load_topology", "parse_topology"]

# 200 topics with five subscriptions each take 0.3 MB; beyond this a file is something else, and only costs time.
MAX_TOPOLOGY_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedTopology:
    """A topology without errors, where its parts are written, and the warnings it deserves."""

    topology: Topology
    source: TopologySource
    warnings: tuple[Finding, ...]


def load_topology(path: Path) -> Topology:
    """The topology that this file holds, free of errors; warnings are left to `check_topology`.

    Raises:
        ConfigurationError: the file cannot be read or breaks a rule; the message lists every finding.
    """
    return check_topology(path).topology


def check_topology(path: Path) -> CheckedTopology:
    """The topology that this file holds, with its warnings.

    Raises:
        ConfigurationError: the file cannot be read or breaks a rule; the message lists every finding.
    """
    return parse_topology(_read_text(path), printable(str(path)))


def parse_topology(text: str, name: str = "topology.yaml") -> CheckedTopology:
    """The topology that this text holds, with its warnings; `name` stands for the file in findings.

    Raises:
        ConfigurationError: the text breaks a rule; the message lists every finding.
    """
    plain, source = read_source(text, name)
    if plain is None:
        raise _refused(name, "a topology", "nothing", "write at least city, departments and record_types")
    if isinstance(plain, dict) and not plain.keys() & TopologyForm.model_fields.keys():
        # Quite another file, maybe one of secrets: none of it belongs in a message.
        found = "a mapping without any of its keys"
        raise _refused(
            name, "a topology", found, f"write {', '.join(TopologyForm.model_fields)}, or name the right file"
        )
    try:
        form = TopologyForm.model_validate(plain)
    except ValidationError as error:
        raise refusal(shape_findings(error, source)) from error
    topology = Topology.from_form(form)
    findings = lint_topology(topology, source)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise refusal(errors)
    return CheckedTopology(topology=topology, source=source, warnings=findings)


def _read_text(path: Path) -> str:
    name = printable(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TOPOLOGY_BYTES + 1)
    except IsADirectoryError as error:
        raise _refused(name, "a file", "a directory", "name the topology.yaml inside it") from error
    except FileNotFoundError as error:
        raise _refused(name, "a file", "none", "check the path, or run this where topology.yaml is") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "a path no file can have"
        raise _refused(name, "a file that can be read", reason, "check the path and its permissions") from error
    if len(data) > MAX_TOPOLOGY_BYTES:
        raise _refused(name, f"at most {MAX_TOPOLOGY_BYTES} bytes", "more", "check that this is a topology")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        lines = data[: error.start].split(b"\n")
        position = Position(line=len(lines), column=len(lines[-1].decode(errors="replace")) + 1)
        fix = "save the file as UTF-8, not in GB 18030 or UTF-16"
        raise _refused(name, "UTF-8 text", f"the byte 0x{data[error.start]:02X}", fix, position) from error


def _refused(name: str, expected: str, found: str, fix: str, position: Position = START) -> ConfigurationError:
    return unreadable("TO001", name, position, expected, found, fix)
