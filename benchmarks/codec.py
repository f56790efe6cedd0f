"""Encoding and decoding against fastavro, in one interleaved run.

Run it with `python benchmarks/codec.py`; `--rounds N` takes longer and scatters less.

Each round times every path once over the same events, so that what else the machine does falls on all alike.
The figure of a path is the median over rounds of its time divided by fastavro's in the same round; below 1 is faster.
fastavro gives or takes dictionaries, ours whole change events with every value checked.
"""

import argparse
import io
import json
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import fastavro
from faker import Faker
from fastavro.types import Schema

from tellonce.avro.catalogue import Catalogue
from tellonce.avro.lock import extend_lock
from tellonce.model.change import ChangeEvent, Fields, Operation, Origin
from tellonce.topology.model import Topology

_TEXTS = ("id_number", "name", "sex", "ethnic_group", "birth_place", "address", "phone", "status", "issuer", "remark")
_NULLABLE_TEXTS = ("former_name", "spouse_id", "mother_id", "father_id")
_VIEW = "citizen.identity"
_WANTED = frozenset(("id_number", "name", "birth_date", "address"))


def main() -> None:
    """Print the table of ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--events", type=int, default=400)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        paths = _paths(Path(folder), arguments.events)
    ratios: dict[str, list[float]] = {name: [] for name in paths}
    micros: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(arguments.rounds):
        seconds = {name: _timed(run) for name, run in paths.items()}
        for name, taken in seconds.items():
            base = seconds[f"{name.split(',')[0]}, fastavro"]
            ratios[name].append(taken / base)
            micros[name].append(taken / arguments.events * 1e6)
    print(f"{'path':<58}{'ratio':>8}{'microseconds':>14}")
    for name in paths:
        ratio, micro = statistics.median(ratios[name]), statistics.median(micros[name])
        print(f"{name:<58}{ratio:>8.2f}{micro:>14.1f}")


def _timed(run: Callable[[], None]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _paths(folder: Path, count: int) -> dict[str, Callable[[], None]]:
    topology = _city(folder)
    schema = fastavro.parse_schema(extend_lock(folder, topology)[0].envelope)
    catalogue = Catalogue.load(folder, topology)
    events = _events(count)
    return {
        "encode, fastavro": _fastavro_encode(schema, events),
        "encode, ours": _our_encode(catalogue, events),
        "decode, fastavro": _fastavro_decode(schema, events),
        "decode, ours, before and after": _our_decode(catalogue, events, None, with_before=True),
        "decode, ours, after": _our_decode(catalogue, events, None, with_before=False),
        f"decode, ours, {len(_WANTED)} fields of after": _our_decode(catalogue, events, _WANTED, with_before=False),
    }


def _fastavro_encode(schema: Schema, events: list[ChangeEvent]) -> Callable[[], None]:
    records = [_record(event) for event in events]

    def run() -> None:
        for record in records:
            out = io.BytesIO()
            fastavro.schemaless_writer(out, schema, record)
            out.getvalue()

    return run


def _fastavro_decode(schema: Schema, events: list[ChangeEvent]) -> Callable[[], None]:
    bodies: list[bytes] = []
    for event in events:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, _record(event))
        bodies.append(out.getvalue())

    def run() -> None:
        for body in bodies:
            fastavro.schemaless_reader(io.BytesIO(body), schema, None)

    return run


def _our_encode(catalogue: Catalogue, events: list[ChangeEvent]) -> Callable[[], None]:
    def run() -> None:
        for event in events:
            catalogue.encode(_VIEW, event)

    return run


def _our_decode(
    catalogue: Catalogue, events: list[ChangeEvent], wanted: frozenset[str] | None, *, with_before: bool
) -> Callable[[], None]:
    messages = [catalogue.encode(_VIEW, event) for event in events]

    def run() -> None:
        for message in messages:
            catalogue.decode(message, view=_VIEW, wanted=wanted, with_before=with_before)

    return run


def _city(folder: Path) -> Topology:
    fields: list[dict[str, object]] = [{"name": name, "type": "string"} for name in _TEXTS]
    fields += [{"name": name, "type": ["null", "string"], "default": None} for name in _NULLABLE_TEXTS]
    day = {"type": "int", "logicalType": "date"}
    fields += [
        {"name": "birth_date", "type": day},
        {"name": "death_date", "type": ["null", day], "default": None},
        {"name": "household", "type": "long"},
        {"name": "is_registered", "type": "boolean"},
        {"name": "deposit", "type": {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2}},
        {"name": "moved_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "former_id_numbers", "type": {"type": "array", "items": "string"}, "match_only": True},
    ]
    record = {"type": "record", "name": "Citizen", "namespace": "tellonce.citizen", "fields": fields}
    (folder / "citizen").mkdir()
    (folder / "citizen" / "v001.avsc").write_text(json.dumps(record), encoding="utf-8")
    names = [str(field["name"]) for field in fields]
    return Topology.model_validate(
        {
            "city": "Example",
            "departments": {"public-security": {"name": "public-security", "title": "Police", "contact": "desk 1"}},
            "record_types": {
                "citizen": {
                    "name": "citizen",
                    "authority": "public-security",
                    "fields": {name: {"sharing": "unconditional"} for name in names},
                    "views": {
                        "identity": {
                            "name": _VIEW,
                            "record_type": "citizen",
                            "authority": "public-security",
                            "fields": names[:-1],
                            "match_only": names[-1:],
                            "major": 1,
                            "partitions": 4,
                            "buckets": 16,
                            "subscriptions": {},
                        }
                    },
                }
            },
        }
    )


def _events(count: int) -> list[ChangeEvent]:
    draw, fake = random.Random(7), Faker("zh_CN")
    fake.seed_instance(7)
    events: list[ChangeEvent] = []
    for number in range(count):
        before = _row(draw, fake)
        after = {**before, "address": fake.address(), "phone": fake.phone_number()}
        events.append(
            ChangeEvent(
                op=Operation.UPDATE,
                department="public-security",
                record_type="citizen",
                view=_VIEW,
                record_key=f"resident-{number}",
                epoch=3,
                version=draw.randint(1, 40),
                sequence=draw.randint(1, 5_000_000),
                origin=Origin.CAPTURE,
                committed_at_ms=1_780_000_000_000 + number,
                published_at_ms=1_780_000_000_150 + number,
                before=before,
                after=after,
            )
        )
    return events


def _row(draw: random.Random, fake: Faker) -> Fields:
    born = date(1935, 1, 1) + timedelta(days=draw.randint(0, 32_000))
    return {
        "id_number": fake.numerify("##################"),
        "name": fake.name(),
        "sex": draw.choice(("1", "2")),
        "ethnic_group": "汉族",
        "birth_place": fake.province(),
        "address": fake.address(),
        "phone": fake.phone_number(),
        "status": "registered",
        "issuer": fake.city() + "公安局",
        "remark": "",
        "former_name": draw.choice((None, None, None, fake.name())),
        "spouse_id": draw.choice((None, fake.numerify("##################"))),
        "mother_id": None,
        "father_id": None,
        "birth_date": born,
        "death_date": None,
        "household": draw.randint(1, 10**9),
        "is_registered": True,
        "deposit": Decimal(draw.randint(0, 10**9)).scaleb(-2),
        "moved_at": datetime(2020, 1, 1, tzinfo=UTC) + timedelta(milliseconds=draw.randint(0, 10**11)),
        "former_id_numbers": draw.choice(((), (fake.numerify("###############"),))),
    }


def _record(event: ChangeEvent) -> dict[str, object]:
    def row(fields: Fields | None) -> dict[str, object] | None:
        if fields is None:
            return None
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}

    source = {
        "department": event.department,
        "record_type": event.record_type,
        "view": event.view,
        "record_key": event.record_key,
        "epoch": event.epoch,
        "version": event.version,
        "sequence": event.sequence,
        "origin": str(event.origin),
        "ts_ms": event.committed_at_ms,
    }
    return {
        "before": row(event.before),
        "after": row(event.after),
        "source": source,
        "op": str(event.op),
        "ts_ms": event.published_at_ms,
    }


if __name__ == "__main__":
    main()
