"""Everything that `tellonce schemas check` says about a folder of schemas; offline, and without changing anything."""

from collections.abc import Iterator
from pathlib import Path

from tellonce.avro.compatibility import check_compatibility
from tellonce.avro.derive import derive_envelope
from tellonce.avro.findings import Finding
from tellonce.avro.lock import LOCK_FILE, check_lock, load_lock, propose_lock, subject_of
from tellonce.avro.recordschema import load_record_schemas
from tellonce.model.errors import ConfigurationError
from tellonce.topology.model import Topology

__all__ = ["check_schemas"]


def check_schemas(schemas: Path, topology: Topology) -> tuple[Finding, ...]:
    """What is wrong with the schema files, the lock, and the compatibility of all versions; empty if nothing is.

    What is not in the lock yet is checked as if it were, so that a schema is refused before it is published.
    While a file cannot be read, that alone is reported, file by file.
    """
    unusable = tuple(_unusable(schemas, topology))
    if unusable:
        return unusable
    proposed = propose_lock(schemas, topology)
    incompatible = [
        finding
        for subject in (subject_of(view) for view in topology.views())
        for finding in check_compatibility(
            subject, [(entry.version, entry.envelope) for entry in proposed.of_subject(subject)]
        )
    ]
    return (*check_lock(schemas, topology), *incompatible)


def _unusable(schemas: Path, topology: Topology) -> Iterator[Finding]:
    if (schemas / LOCK_FILE).exists():
        try:
            load_lock(schemas)
        except ConfigurationError as error:
            yield Finding(rule="lock-unusable", subject=str(schemas / LOCK_FILE), sentence=str(error))
    for record_type in topology.record_types.values():
        try:
            newest = load_record_schemas(schemas, record_type.name)[-1]
        except ConfigurationError as error:
            yield Finding(rule="schema-unusable", subject=str(schemas / record_type.name), sentence=str(error))
            continue
        for view in record_type.views.values():
            try:
                derive_envelope(newest, view)
            except ConfigurationError as error:
                yield Finding(rule="view-unusable", subject=subject_of(view), sentence=str(error))
