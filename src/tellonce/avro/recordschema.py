"""A record type's Avro schema file, read into the few shapes of field that departments can agree on."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tellonce.avro.avroschema import parse_avro
from tellonce.avro.fieldshape import FieldShape, Refused, camel_case, read_fields
from tellonce.avro.jsonvalue import Json, JsonObject
from tellonce.model.errors import ConfigurationError

__all__ = ["RecordSchema", "load_record_schemas", "read_record_schema"]

_FILE_NAME = re.compile(r"v(\d{3,})\.avsc")
# A record of a thousand fields with documentation takes a fifth.
_MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSchema:
    """One version of a record type, as its file `schemas/<record type>/v<number>.avsc` says."""

    file: Path
    record_type: str
    version: int
    fields: tuple[FieldShape, ...]
    declaration: JsonObject
    """The file's JSON as it stands."""

    def line_of(self, field: str) -> str:
        """`file:line` where the file declares this field, or the file alone."""
        return _place(self.file, _line_of(self.file.read_text(encoding="utf-8"), field))


def load_record_schemas(schemas: Path, record_type: str) -> tuple[RecordSchema, ...]:
    """Every version of a record type's schema, oldest first; versions are dense from 1.

    Raises:
        ConfigurationError: there is none, a number is missing, or a file is not a schema we can use.
    """
    folder = schemas / record_type
    numbered: dict[int, Path] = {}
    for file in sorted(folder.glob("*.avsc")):
        match = _FILE_NAME.fullmatch(file.name)
        if match is None or file.name != file_name(int(match[1])):
            message = f"expected a name such as v001.avsc, found {file}; rename the file"
            raise ConfigurationError(message, file=str(file))
        numbered[int(match[1])] = file
    if not numbered:
        expected = folder / file_name(1)
        message = f"expected the schema of record type {record_type} in {expected}, found none; write it"
        raise ConfigurationError(message, file=str(expected))
    for version in range(1, max(numbered) + 1):
        if version not in numbered:
            missing = folder / file_name(version)
            message = f"expected versions without a gap, found no {missing}; published versions stay"
            raise ConfigurationError(message, file=str(missing))
    return tuple(read_record_schema(numbered[version], record_type, version) for version in sorted(numbered))


def file_name(version: int) -> str:
    """The name of the file that holds this version."""
    return f"v{version:03d}.avsc"


def read_record_schema(file: Path, record_type: str, version: int) -> RecordSchema:
    """The schema in one file.

    Raises:
        ConfigurationError: the file is not JSON or no schema to fastavro, its names are not those of the record type,
            or a field has a type that departments cannot share (recursion, float, union other than null with one type,
            …).
    """
    text = _read(file)
    declaration = _parse(file, text)
    try:
        name, namespace = camel_case(record_type), f"tellonce.{record_type}"
        _check_head(declaration, name, namespace)
        parse_avro(declaration)
        fields = read_fields(declaration, namespace)
    except Refused as refusal:
        where = _place(file, _line_of(text, refusal.field))
        field = f"field {refusal.field}: " if refusal.field else ""
        raise ConfigurationError(f"{where}: {field}{refusal}", file=str(file), field=refusal.field) from None
    return RecordSchema(file=file, record_type=record_type, version=version, fields=fields, declaration=declaration)


def _read(file: Path) -> str:
    try:
        size = file.stat().st_size
        if size > _MAX_FILE_BYTES:
            message = (
                f"{file}: expected a schema of at most {_MAX_FILE_BYTES} bytes, found {size}; split the record type"
            )
            raise ConfigurationError(message, file=str(file))
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        message = f"expected a schema in {file}, found it unreadable ({reason})"
        raise ConfigurationError(message, file=str(file)) from error


def _parse(file: Path, text: str) -> JsonObject:
    try:
        parsed: Json = json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        where = f"{file}:{error.lineno}:{error.colno}"
        raise ConfigurationError(f"{where}: expected JSON, found {error.msg}", file=str(file)) from error
    except (Refused, RecursionError, ValueError) as error:
        too_much = "JSON nested too deeply" if isinstance(error, RecursionError) else "a number of too many digits"
        reason = str(error) if isinstance(error, Refused) else too_much
        raise ConfigurationError(f"{file}: expected an Avro schema, found {reason}", file=str(file)) from error
    if not isinstance(parsed, dict):
        raise ConfigurationError(f"{file}: expected an Avro record, found another kind of JSON", file=str(file))
    return parsed


def _without_duplicates(pairs: list[tuple[str, Json]]) -> JsonObject:
    found: JsonObject = {}
    for key, value in pairs:
        if key in found:
            raise Refused(f"the property {key} twice in one object")
        found[key] = value
    return found


def _check_head(declaration: JsonObject, name: str, namespace: str) -> None:
    expected: dict[str, Json] = {"type": "record", "name": name, "namespace": namespace}
    for key, value in expected.items():
        if declaration.get(key) != value:
            found = declared[:80] if isinstance(declared := declaration.get(key), str) else type(declared).__name__
            raise Refused(f'expected "{key}": "{value}", found {found}; correct it')
    if declaration.get("aliases"):
        raise Refused("expected a record without aliases, found some; a record type keeps its name")


def _line_of(text: str, field: str | None) -> int | None:
    if field is None:
        return None
    match = re.search(rf'"name"\s*:\s*"{re.escape(field)}"', text)
    return text.count("\n", 0, match.start()) + 1 if match else None


def _place(file: Path, line: int | None) -> str:
    return str(file) if line is None else f"{file}:{line}"
