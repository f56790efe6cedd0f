"""The committed lock of published schemas: which id stands for which content, for ever.

An id once given is never given again, and the schema itself is kept beside it, so that any event ever written stays
readable after the files and the topology have moved on.
Two branches that publish at once conflict in this file, which is the wanted alarm.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from tellonce.avro.derive import derive_envelope, row_fields
from tellonce.avro.fieldshape import Refused
from tellonce.avro.findings import Finding
from tellonce.avro.identity import schema_identity
from tellonce.avro.jsonvalue import JsonObject
from tellonce.avro.recordschema import RecordSchema, file_name, load_record_schemas
from tellonce.model.errors import ConfigurationError
from tellonce.topology.model import Topology, View

__all__ = [
    "LOCK_FILE",
    "Lock",
    "LockEntry",
    "LockedFile",
    "check_lock",
    "extend_lock",
    "load_lock",
    "propose_lock",
    "subject_of",
]

LOCK_FILE = "registry.lock.json"

_NOT_LOCKED = "not-locked"

_Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
_Records = Mapping[str, tuple[RecordSchema, ...]]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LockedFile(_Part):
    """A published version of a record type's schema file."""

    record_type: str
    version: int = Field(ge=1)
    sha256: _Sha256


class LockEntry(_Part):
    """A published version of a view's wire schema."""

    subject: str
    view: str
    version: int = Field(ge=1, description="The version of the record type that the schema was derived from.")
    id: int = Field(ge=1, lt=2**31, description="The id in the Confluent frame; registries keep it in 32 signed bits.")
    sha256: _Sha256
    envelope: JsonObject = Field(alias="schema")


class Lock(_Part):
    """Everything published so far: files by record type and version, entries by id."""

    format: Literal[1] = 1
    next_id: int = Field(default=1, ge=1)
    files: tuple[LockedFile, ...] = ()
    entries: tuple[LockEntry, ...] = ()

    def of_subject(self, subject: str) -> tuple[LockEntry, ...]:
        """The published versions of a subject, oldest first."""
        return tuple(entry for entry in self.entries if entry.subject == subject)

    def fingerprint(self) -> str:
        """Twelve digits that are the same wherever the same schemas are published."""
        told = "".join(f"{entry.id}:{entry.sha256}\n" for entry in self.entries)
        return sha256(told.encode()).hexdigest()[:12]

    def sha256_of(self, record_type: str, version: int) -> str | None:
        """The identity of a published file; None if that version was never published."""
        for file in self.files:
            if (file.record_type, file.version) == (record_type, version):
                return file.sha256
        return None


def subject_of(view: View) -> str:
    """The registry subject of a view's values, by Confluent's TopicNameStrategy."""
    return f"{view.topic}-value"


def load_lock(schemas: Path) -> Lock:
    """The lock in this folder, checked against itself.

    Raises:
        ConfigurationError: there is none, it is not a lock, or an id, a hash or a schema in it contradicts another.
    """
    file = schemas / LOCK_FILE
    try:
        lock = Lock.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        message = f"expected the lock of published schemas in {file}, found none; run `tellonce schemas lock`"
        raise ConfigurationError(message, file=str(file)) from None
    except OSError as error:
        message = f"expected the lock of published schemas in {file}, found it unreadable ({error.strerror})"
        raise ConfigurationError(message, file=str(file)) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        expected = "expected a lock that `tellonce schemas lock` wrote"
        fix = "after a merge conflict take the other branch's lock and run the command again"
        message = f"{file}: {expected}, found {place}: {first['msg']}; {fix}"
        raise ConfigurationError(message, file=str(file)) from error
    problem = _contradiction(lock)
    if problem is not None:
        raise ConfigurationError(f"{file}: {problem}; take the committed lock back", file=str(file))
    return lock


def check_lock(schemas: Path, topology: Topology) -> tuple[Finding, ...]:
    """Where the schema files and the topology's views are not what was published; empty if all is locked.

    A missing lock counts as an empty one.

    Raises:
        ConfigurationError: the lock, a schema file or a view cannot be read at all.
    """
    lock = _load_or_empty(schemas)
    records = _load_records(schemas, topology)
    return (*_check_files(lock, schemas, records), *_check_views(lock, records, topology))


def extend_lock(schemas: Path, topology: Topology) -> tuple[LockEntry, ...]:
    """Publish what is new: write the lock with an id for each new wire schema, and return those.

    Nothing published changes, and with nothing new the file stays as it is.

    Raises:
        ConfigurationError: a published file or view was edited, a new schema is not compatible with every published
            one, or something cannot be read.
    """
    # The checker pulls in Apache's avro package, which services that only read the lock do without.
    from tellonce.avro.compatibility import check_compatibility  # noqa: PLC0415

    edited = [finding for finding in check_lock(schemas, topology) if finding.rule != _NOT_LOCKED]
    if edited:
        raise _refusal(edited)
    old = _load_or_empty(schemas)
    new = propose_lock(schemas, topology)
    added = new.entries[len(old.entries) :]
    broken = [
        finding
        for subject in sorted({entry.subject for entry in added})
        for finding in check_compatibility(subject, [(one.version, one.envelope) for one in new.of_subject(subject)])
    ]
    if broken:
        raise _refusal(broken)
    if new != old or not (schemas / LOCK_FILE).exists():
        _write(schemas / LOCK_FILE, new)
    return added


def propose_lock(schemas: Path, topology: Topology) -> Lock:
    """The lock as `extend_lock` would write it, whether or not that is allowed.

    Raises:
        ConfigurationError: the lock, a schema file or a view cannot be read at all.
    """
    lock = _load_or_empty(schemas)
    records = _load_records(schemas, topology)
    files = [
        LockedFile(record_type=record.record_type, version=record.version, sha256=schema_identity(record.declaration))
        for versions in records.values()
        for record in versions
        if lock.sha256_of(record.record_type, record.version) is None
    ]
    entries: list[LockEntry] = []
    for view in topology.views():
        newest = records[view.record_type][-1]
        envelope = derive_envelope(newest, view)
        sha256 = schema_identity(envelope)
        published = lock.of_subject(subject_of(view))
        if published and published[-1].sha256 == sha256:
            continue
        entries.append(
            LockEntry(
                subject=subject_of(view),
                view=view.name,
                version=newest.version,
                id=lock.next_id + len(entries),
                sha256=sha256,
                schema=envelope,
            )
        )
    return Lock(
        next_id=lock.next_id + len(entries),
        files=tuple(sorted((*lock.files, *files), key=lambda file: (file.record_type, file.version))),
        entries=(*lock.entries, *entries),
    )


def _load_or_empty(schemas: Path) -> Lock:
    return load_lock(schemas) if (schemas / LOCK_FILE).exists() else Lock()


def _load_records(schemas: Path, topology: Topology) -> _Records:
    return {name: load_record_schemas(schemas, name) for name in topology.record_types}


def _contradiction(lock: Lock) -> str | None:
    ids = [entry.id for entry in lock.entries]
    if ids != sorted(set(ids)) or (ids and ids[-1] >= lock.next_id):
        return "expected ids in rising order below next_id, found others; an id is never given twice"
    versions = [(entry.subject, entry.version) for entry in lock.entries]
    if len(set(versions)) != len(versions):
        return "expected each version of a subject once, found one twice"
    files = [(file.record_type, file.version) for file in lock.files]
    if len(set(files)) != len(files):
        return "expected each version of a record type once, found one twice"
    for entry in lock.entries:
        if schema_identity(entry.envelope) != entry.sha256:
            return f"expected the schema of id {entry.id} to have the hash beside it, found an edited one"
        try:
            row_fields(entry.envelope)
        except Refused as refusal:
            return f"schema id {entry.id}: {refusal}"
    return None


def _check_files(lock: Lock, schemas: Path, records: _Records) -> Iterator[Finding]:
    for record_type, versions in records.items():
        newest = versions[-1].version
        for record in versions:
            published = lock.sha256_of(record_type, record.version)
            if published is None:
                yield Finding(
                    rule=_NOT_LOCKED,
                    subject=str(record.file),
                    sentence="this version is not in the lock yet; run `tellonce schemas lock` and commit the lock",
                )
            elif published != schema_identity(record.declaration):
                yield Finding(
                    rule="schema-edited",
                    subject=str(record.file),
                    sentence=f"this version was published with other content; put it back, {_new_version(newest)}",
                )
        for file in lock.files:
            if file.record_type == record_type and file.version > newest:
                missing = schemas / record_type / file_name(file.version)
                sentence = "this version was published and its file is gone; put the file back"
                yield Finding(rule="schema-removed", subject=str(missing), sentence=sentence)


def _check_views(lock: Lock, records: _Records, topology: Topology) -> Iterator[Finding]:
    for view in topology.views():
        newest = records[view.record_type][-1]
        subject = subject_of(view)
        entries = lock.of_subject(subject)
        if entries and entries[-1].sha256 == schema_identity(derive_envelope(newest, view)):
            continue
        published = lock.sha256_of(view.record_type, newest.version)
        if not entries or published is None:
            sentence = "its wire schema is not in the lock yet; run `tellonce schemas lock` and commit the lock"
            yield Finding(rule=_NOT_LOCKED, subject=subject, sentence=sentence)
        elif published == schema_identity(newest.declaration):
            # A changed file has its own finding, and one cause is said once.
            sentence = (
                "the view's fields in the topology are not those published; put them back, or, since a new wire schema "
                f"needs a new version, {_new_version(newest.version)} (it may repeat {file_name(newest.version)})"
            )
            yield Finding(rule="view-edited", subject=subject, sentence=sentence)


def _new_version(newest: int) -> str:
    return f"add {file_name(newest + 1)} and run `tellonce schemas lock`"


def _write(file: Path, lock: Lock) -> None:
    text = json.dumps(lock.model_dump(by_alias=True, mode="json"), indent=2, ensure_ascii=False) + "\n"
    # A lock cut short by a crash would look like an edited one; a rename is all or nothing.
    partial = file.with_suffix(".json.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, file)  # noqa: PTH105 - os.replace is the call that promises atomicity
    except OSError as error:
        message = f"expected to write the lock {file}, found it refused ({error.strerror})"
        raise ConfigurationError(message, file=str(file)) from error


def _refusal(findings: Sequence[Finding]) -> ConfigurationError:
    texts = [finding.text for finding in findings]
    more = f" (and {len(texts) - 1} more; `tellonce schemas check` lists them)" if len(texts) > 1 else ""
    return ConfigurationError(texts[0] + more, findings=len(texts))
