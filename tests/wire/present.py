"""What the present release writes for fixed inputs, one message of every kind; kept as golden bytes for all later ones.

`PYTHONPATH=src:tests python -m wire.present FOLDER` writes a new folder of `tests/wire/golden/`, after the wire was
changed on purpose; what is there is never changed.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from avrocity import DATE, FIXED, INSTANT, SEX, VIEW, City, event, field, match_only, money, optional
from control.samples import MESSAGES
from tellonce.avro.catalogue import Catalogue
from tellonce.control.routes import outgoing
from tellonce.model.change import ChangeEvent, Fields, Operation, Origin
from tellonce.model.digest import canonical, element, pseudonym_of, to_hex
from tellonce.model.partitioning import partition_of
from tellonce.model.position import Header
from tellonce.model.seal import MARKER_PREFIX, StreamSeal

GOLDEN = Path(__file__).parent / "golden"
DIGEST_KEY, PSEUDONYM_KEY = bytes(range(32)), bytes(range(32, 64))
PARTITIONS = 4
FIELDS = (
    field("id_number"),
    optional("name"),
    field("small", "int"),
    field("large", "long"),
    optional("flag", "boolean"),
    field("raw", "bytes"),
    field("sum", FIXED),
    field("sex", SEX),
    optional("amount", money(30, 2)),
    field("born", DATE),
    optional("moved", INSTANT),
    optional("seen", INSTANT),
    match_only(),
)
FULL: Fields = {
    "id_number": "44052418800101001X",
    "name": "欧阳𠀀·娜仁",
    "small": -5,
    "large": 2**40,
    "flag": True,
    "raw": b"\x00\xff",
    "sum": b"\x01\x02\x03\x04\x05\x06\x07\x08",
    "sex": "female",
    "amount": Decimal("-1234567.80"),
    "born": date(1949, 12, 31),
    "moved": datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
    "seen": datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
    "former_id_numbers": ("440524800101001",),
}
SPARSE: Fields = {
    **FULL,
    **dict.fromkeys(("name", "flag", "amount", "moved", "seen")),
    "former_id_numbers": (),
}
# Op, origin, what the record is afterwards; each is about a record of its own.
CHANGES: tuple[tuple[Operation, Origin, Fields | None], ...] = (
    (Operation.CREATE, Origin.CAPTURE, FULL),
    (Operation.UPDATE, Origin.CAPTURE, SPARSE),
    (Operation.UPDATE, Origin.SWEEP, FULL),
    (Operation.DELETE, Origin.CAPTURE, None),
    (Operation.READ, Origin.SNAPSHOT, FULL),
    (Operation.READ, Origin.REPAIR, SPARSE),
)


def plain(event: ChangeEvent) -> dict[str, object]:
    """An event as JSON can hold it: each value with the form by which it is compared."""
    facts = {name: getattr(event, name) for name in ChangeEvent.__slots__ if name not in {"before", "after"}}
    after = None
    if event.after is not None:
        after = {name: canonical([value]).decode("latin-1") for name, value in event.after.items()}
    return facts | {"before": None, "after": after}


def _sealed(position: Header, partition: int, key: str, body: bytes | None) -> dict[str, object]:
    seal = StreamSeal(DIGEST_KEY, VIEW, partition)
    return {
        "partition": partition,
        "key": key,
        "header": seal.header(position, key.encode(), body).decode(),
        "body": None if body is None else body.hex(),
    }


def _of_view(catalogue: Catalogue) -> Iterator[dict[str, object]]:
    digest_fields = sorted(str(one["name"]) for one in FIELDS if not one.get("match_only"))
    for number, (op, origin, after) in enumerate(CHANGES, start=1):
        pseudonym = pseudonym_of(PSEUDONYM_KEY, f"resident-{number}")
        partition = partition_of(pseudonym.encode(), PARTITIONS)
        one = event(after, op=op, origin=origin, record_key=pseudonym, epoch=7, version=number, sequence=number)
        position = Header(epoch=7, sequence=number, version=number, settled=number - 1, flagged=number % 2 == 0)
        digest = None if after is None else element(DIGEST_KEY, pseudonym, [after[name] for name in digest_fields])
        yield {
            **_sealed(position, partition, pseudonym, catalogue.encode(VIEW, one)),
            "event": plain(one),
            "digest": None if digest is None else to_hex(digest),
        }
    marker = event(op=Operation.MARKER, origin=Origin.MARKER, record_key="", epoch=7, version=1, sequence=9)
    position = Header(epoch=7, sequence=9, version=1, settled=8, flagged=True)
    body = catalogue.encode(VIEW, marker)
    yield {**_sealed(position, 1, f"{MARKER_PREFIX}{VIEW}/1", body), "event": plain(marker), "digest": None}
    pseudonym = pseudonym_of(PSEUDONYM_KEY, "resident-4")
    position = Header(epoch=7, sequence=4, version=4, settled=0, flagged=False)
    partition = partition_of(pseudonym.encode(), PARTITIONS)
    yield {**_sealed(position, partition, pseudonym, None), "event": None, "digest": None}


def _control() -> Iterator[dict[str, object]]:
    for message in MESSAGES:
        for one in outgoing(message, "healthcare"):
            shape = type(message).__name__
            yield {"shape": shape, "topic": one.topic, "key": one.key.decode(), "value": one.value.decode()}


def messages(city: City) -> Mapping[str, object]:
    """Everything, as JSON can hold it; the schemas are written to the city's folder."""
    catalogue = city.publish(FIELDS)
    found: dict[str, object] = {
        "view": VIEW,
        "partitions": PARTITIONS,
        "keys": {"digest": DIGEST_KEY.hex(), "pseudonym": PSEUDONYM_KEY.hex()},
        "of_view": list(_of_view(catalogue)),
        "control": list(_control()),
    }
    return found


if __name__ == "__main__":
    folder = GOLDEN / sys.argv[1]
    with tempfile.TemporaryDirectory() as temporary:
        written = City(Path(temporary))
        text = json.dumps(messages(written), indent=1, ensure_ascii=True)
        shutil.copytree(written.schemas, folder / "schemas")
        (folder / "messages.json").write_text(f"{text}\n")
