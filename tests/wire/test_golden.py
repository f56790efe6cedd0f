"""Messages of every kind that some release wrote: each later one reads them, and writes the newest byte for byte."""

import ast
import json
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from avrocity import City
from tellonce.avro.catalogue import Catalogue
from tellonce.control.messages import Message, decode_message
from tellonce.model.change import Operation, Origin
from tellonce.model.digest import to_hex
from tellonce.model.seal import StreamSeal
from wire import subscriber
from wire.present import FIELDS, GOLDEN, messages, plain
from wire.subscriber import Subscriber

FOLDERS = sorted(GOLDEN.iterdir())
SHAPES: dict[str, type[BaseModel]] = {shape.__name__: shape for shape in get_args(Message)}


class Golden:
    """One release's messages and the schemas that they were written by."""

    def __init__(self, folder: Path) -> None:
        self.schemas = folder / "schemas"
        self.content: dict[str, Any] = json.loads((folder / "messages.json").read_text())
        self.lock: dict[str, Any] = json.loads((self.schemas / "registry.lock.json").read_text())
        self.view = str(self.content["view"])
        self.digest_key = bytes.fromhex(self.content["keys"]["digest"])

    def of_view(self) -> list[tuple[dict[str, Any], int, bytes, bytes, bytes | None]]:
        """What the view's topic holds: what is expected, partition, key, header and body."""
        return [
            (
                one,
                one["partition"],
                one["key"].encode(),
                one["header"].encode(),
                None if one["body"] is None else bytes.fromhex(one["body"]),
            )
            for one in self.content["of_view"]
        ]


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def golden(request: pytest.FixtureRequest) -> Golden:
    """Each release's messages in turn."""
    return Golden(request.param)


def test_present_release_writes_the_newest_golden_bytes(tmp_path: Path) -> None:
    """A change of the wire is made on purpose: a new folder is written, and the old ones stay readable."""
    written = json.loads(json.dumps(messages(City(tmp_path))))

    assert written == Golden(FOLDERS[-1]).content


def test_messages_of_the_view_are_read(golden: Golden, tmp_path: Path) -> None:
    """Seal, position, event and every value are what they were."""
    names = [f"{one['name']}{'*' if one.get('match_only') else ''}" for one in FIELDS]
    catalogue = Catalogue.load(golden.schemas, City(tmp_path).topology(identity=names))

    for expected, partition, key, header, body in golden.of_view():
        position = StreamSeal(golden.digest_key, golden.view, partition).open(header, key, body)

        numbers = f"{position.epoch} {position.sequence} {position.version} {position.settled} {position.flagged:d}"
        assert header.decode().endswith(numbers)
        read = None if body is None else json.loads(json.dumps(plain(catalogue.decode(body, view=golden.view))))
        assert read == expected["event"]


def test_control_messages_are_read(golden: Golden) -> None:
    """Every shape, with every field that it had."""
    for one in golden.content["control"]:
        read = decode_message(SHAPES[one["shape"]], one["value"].encode())

        assert json.loads(read.model_dump_json()).items() >= json.loads(one["value"]).items()


def test_newest_folder_has_every_kind_of_message() -> None:
    """Who adds a shape, an operation or an origin adds its bytes."""
    newest = Golden(FOLDERS[-1])
    events = [one["event"] for one in newest.content["of_view"]]

    assert {one["shape"] for one in newest.content["control"]} == set(SHAPES)
    assert {event["op"] for event in events if event} == set(Operation)
    assert {event["origin"] for event in events if event} == set(Origin)
    assert None in events


def test_fifty_lines_with_fastavro_read_the_same(golden: Golden) -> None:
    """Somebody who has docs/wire-format.md alone applies the same rows, states the same digests and sees forgeries."""
    reader = Subscriber(golden.view, golden.digest_key, golden.lock)

    for expected, partition, key, header, body in golden.of_view():
        reader.take(partition, key, header, body)
        with pytest.raises(ValueError, match="authority"):
            reader.take(partition + 1, key, header, body)
        with pytest.raises(ValueError, match="authority"):
            reader.take(partition, key, header, (body or b"") + b"\x00")

        _, row = reader.records.get((partition, key), (None, None))
        if row is not None and expected["digest"]:
            assert to_hex(reader.digest(key, row)) == expected["digest"]
        elif body is not None:
            assert expected["digest"] is None

    rows = [row for _, row in reader.records.values() if row is not None]
    assert len(rows) == sum(one["digest"] is not None for one, *_ in golden.of_view())


def test_the_fifty_lines_are_fifty_and_know_nothing_of_ours() -> None:
    """The page is enough: no module of tellonce helps."""
    source = Path(str(subscriber.__file__)).read_text()
    tree = ast.parse(source)
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith('"""')]

    assert imported <= {*sys.stdlib_module_names, "fastavro"}
    assert len(lines) <= 50
