"""A subscriber in fifty lines, from docs/wire-format.md alone: the standard library and fastavro."""

import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from fastavro import parse_schema, schemaless_reader


class Subscriber:
    def __init__(self, view: str, digest_key: bytes, lock: dict[str, Any]) -> None:
        entries = [entry for entry in lock["entries"] if entry["view"] == view]
        self.view, self.key = view, digest_key
        self.schemas = {entry["id"]: parse_schema(entry["schema"]) for entry in entries}
        row = entries[-1]["schema"]["fields"][0]["type"][1]["fields"]
        self.newest, self.summed = entries[-1]["id"], sorted(each["name"] for each in row if not each.get("match_only"))
        self.records: dict[tuple[int, bytes], tuple[tuple[int, int], dict[str, Any] | None]] = {}

    def take(self, partition: int, key: bytes, header: bytes, body: bytes | None) -> None:
        form, seal, *numbers = header.split(b" ")
        mac = blake2b(f"{self.view}\0{partition}\0".encode(), key=self.key, digest_size=16, person=b"tellonce.seal")
        mac.update(b" ".join(numbers) + b"\0%d\0" % len(key) + key + (b"n" if body is None else b"v" + body))
        if form != b"2" or mac.hexdigest().encode() != seal:
            raise ValueError("not this authority's")
        epoch, _sequence, version, _settled, _flag = map(int, numbers)
        if body is None or key.startswith(b"marker:"):
            return
        schema = self.schemas[int.from_bytes(body[1:5], "big")]
        event: Any = schemaless_reader(io.BytesIO(body[5:]), schema, self.schemas[self.newest])
        if (epoch, version) > self.records.get((partition, key), ((0, 0), None))[0]:
            self.records[partition, key] = (epoch, version), event["after"]

    def sum_and_count(self, partition: int) -> tuple[int, int]:
        rows = {key: row for (of, key), (_, row) in self.records.items() if of == partition and row is not None}
        return sum(self.digest(key, row) for key, row in rows.items()) % 2**128, len(rows)

    def digest(self, pseudonym: bytes, row: dict[str, Any]) -> int:
        forms = map(form_of, [pseudonym.decode(), *(row[name] for name in self.summed)])
        data = b"".join(b"%b%d:%b" % (tag, len(text), text) for tag, text in forms)
        return int.from_bytes(blake2b(data, key=self.key, digest_size=16, person=b"tellonce.element").digest(), "big")


def form_of(value: Any) -> tuple[bytes, bytes]:
    if value is None or isinstance(value, bool):
        return (b"n", b"") if value is None else (b"b", b"%d" % value)
    if isinstance(value, int):
        return b"i", b"%d" % value
    if isinstance(value, Decimal):
        sign, digits, _ = value.as_tuple()
        kept = "".join(map(str, digits)).lstrip("0").rstrip("0")
        return b"x", f"{'-' * sign}{kept}e{value.adjusted() + 1 - len(kept)}".encode() if kept else b"0"
    if isinstance(value, datetime):
        return b"t", b"%d" % ((value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
    if isinstance(value, date):
        return b"d", value.isoformat().encode()
    return (b"y", value) if isinstance(value, bytes) else (b"s", value.encode())
