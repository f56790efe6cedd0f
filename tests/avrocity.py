"""A small city whose schemas a test writes itself: one record type, one or more views, in a temporary folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tellonce.avro.catalogue import Catalogue
from tellonce.avro.jsonvalue import Json, JsonObject
from tellonce.avro.lock import LockEntry, extend_lock
from tellonce.model.change import ChangeEvent, Fields, Operation, Origin, Value
from tellonce.topology.model import Topology

VIEW = "citizen.identity"
SUBJECT = "citizen.identity.v1-value"
DATE: JsonObject = {"type": "int", "logicalType": "date"}
INSTANT: JsonObject = {"type": "long", "logicalType": "timestamp-millis"}
TEXTS: JsonObject = {"type": "array", "items": "string"}
FIXED: JsonObject = {"type": "fixed", "name": "Checksum", "size": 8}
SEX: JsonObject = {"type": "enum", "name": "Sex", "symbols": ["male", "female"]}


def money(precision: int = 10, scale: int = 2) -> JsonObject:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def field(name: str, declared: Json = "string", **properties: Json) -> JsonObject:
    return {"name": name, "type": declared, **properties}


def optional(name: str, declared: Json = "string", **properties: Json) -> JsonObject:
    return field(name, ["null", declared], **{"default": None, **properties})


def match_only(name: str = "former_id_numbers", **properties: Json) -> JsonObject:
    return field(name, TEXTS, **{"match_only": True, **properties})


class City:
    """Schemas in a folder, and the topology that goes with them."""

    def __init__(self, folder: Path) -> None:
        self.schemas = folder / "schemas"

    def write(self, fields: Sequence[Json], version: int = 1, record_type: str = "citizen", **properties: Json) -> Path:
        """Write one version of a record type's schema file."""
        name = record_type.title().replace("_", "")
        record = {"type": "record", "name": name, "namespace": f"tellonce.{record_type}", "fields": list(fields)}
        return self.write_text(json.dumps({**record, **properties}, indent=2), version, record_type)

    def write_text(self, text: str, version: int = 1, record_type: str = "citizen") -> Path:
        """Write any text as a schema file."""
        file = self.schemas / record_type / f"v{version:03d}.avsc"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def topology(self, major: int = 1, **views: Sequence[str]) -> Topology:
        """A topology whose views list these fields; names ending in `*` are match-only."""
        return Topology.model_validate(
            {
                "city": "Example",
                "departments": {"police": {"name": "police", "title": "Police", "contact": "desk 1"}},
                "record_types": {
                    "citizen": {
                        "name": "citizen",
                        "authority": "police",
                        "fields": {"any": {"sharing": "unconditional"}},
                        "views": {short: self._view(short, names, major) for short, names in views.items()},
                    }
                },
            }
        )

    def lock(self, major: int = 1, **views: Sequence[str]) -> tuple[LockEntry, ...]:
        """Publish these views."""
        return extend_lock(self.schemas, self.topology(major, **views))

    def catalogue(self, major: int = 1, **views: Sequence[str]) -> Catalogue:
        """Publish these views and load what was published."""
        self.lock(major, **views)
        return Catalogue.load(self.schemas, self.topology(major, **views))

    def publish(self, fields: Sequence[Mapping[str, Json]], version: int = 1) -> Catalogue:
        """Write a version and publish a view of all its fields."""
        self.write([dict(one) for one in fields], version)
        return self.catalogue(identity=[f"{one['name']}{'*' if one.get('match_only') else ''}" for one in fields])

    def _view(self, short: str, names: Sequence[str], major: int) -> dict[str, object]:
        return {
            "name": f"citizen.{short}",
            "record_type": "citizen",
            "authority": "police",
            "fields": [name for name in names if not name.endswith("*")],
            "match_only": [name.removesuffix("*") for name in names if name.endswith("*")],
            "major": major,
            "partitions": 4,
            "buckets": 16,
            "subscriptions": {},
        }


def event(after: object = None, before: object = None, **changes: object) -> ChangeEvent:
    """An event of the identity view; a test names what matters to it."""
    facts: dict[str, object] = {
        "op": Operation.UPDATE,
        "department": "police",
        "record_type": "citizen",
        "view": VIEW,
        "record_key": "resident-1",
        "epoch": 1,
        "version": 2,
        "sequence": 3,
        "origin": Origin.CAPTURE,
        "committed_at_ms": 1_780_000_000_000,
        "published_at_ms": 1_780_000_000_150,
        "before": before,
        "after": after,
    }
    return ChangeEvent(**{**facts, **changes})  # type: ignore[arg-type]  # a test may plant a value of the wrong type


def as_record(change: ChangeEvent) -> dict[str, object]:
    """The event as fastavro takes and gives it."""

    def row(fields: Fields | None) -> dict[str, Value | list[str]] | None:
        if fields is None:
            return None
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}

    return {
        "before": row(change.before),
        "after": row(change.after),
        "source": {
            "department": change.department,
            "record_type": change.record_type,
            "view": change.view,
            "record_key": change.record_key,
            "epoch": change.epoch,
            "version": change.version,
            "sequence": change.sequence,
            "origin": str(change.origin),
            "ts_ms": change.committed_at_ms,
        },
        "op": str(change.op),
        "ts_ms": change.published_at_ms,
    }
