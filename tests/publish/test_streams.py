"""What a stream's epoch depends on: a change of any of it is named, and nothing of ours belongs into such an epoch."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from reconcile.builders import city
from tellonce.keyring import ViewKeys
from tellonce.model.digest import to_hex
from tellonce.publish.log_check import begun_views, why_refused
from tellonce.publish.streams import PublishedView, Stream

VIEW = next(iter(city().views()))
KEYS = ViewKeys(view=VIEW.name, digest=bytes(32), pseudonym=bytes(reversed(range(32))))
PUBLISHED = PublishedView(view=VIEW, keys=KEYS, digest_fields=("id_number", "name"), record_key=("resident_id",))


def stream(settings: str, partition: int = 0) -> Stream:
    """A stream whose epoch was begun with these settings."""
    return Stream(
        view=VIEW.name,
        partition=partition,
        epoch=1,
        staged_sequence=0,
        confirmed_sequence=0,
        complete=True,
        sum=int(to_hex(0), 16),
        count=0,
        settings=settings,
        stopped=None,
        mark_sequence=None,
        mark_sum=None,
        mark_count=None,
    )


OTHERS: Mapping[str, Callable[[PublishedView], PublishedView]] = {
    "partitions": lambda view: replace(view, view=VIEW.model_copy(update={"partitions": VIEW.partitions + 1})),
    "buckets": lambda view: replace(view, view=VIEW.model_copy(update={"buckets": VIEW.buckets + 1})),
    "fields": lambda view: replace(view, digest_fields=("name",)),
    "digest_key": lambda view: replace(view, keys=replace(KEYS, digest=bytes(range(32)))),
    "pseudonym_key": lambda view: replace(view, keys=replace(KEYS, pseudonym=bytes(range(32)))),
    "record_key": lambda view: replace(view, record_key=("resident_id", "district")),
}


@pytest.mark.parametrize("name", OTHERS)
def test_epoch_of_other_settings_is_refused_by_name(name: str) -> None:
    """Each of a stream's settings that is another's refuses the stream, with one sentence that names it alone."""
    begun = stream(OTHERS[name](PUBLISHED).settings())

    assert PUBLISHED.changed_settings(begun) == (name,)
    why = why_refused(begun, PUBLISHED)
    assert why is not None
    assert f"{name} changed since this epoch began" in why
    assert "`tellonce resync" in why


def test_own_epoch_is_not_refused() -> None:
    """What was begun with our own settings is ours, also where an earlier release did not keep all of them."""
    facts = json.loads(PUBLISHED.settings())
    earlier = {key: value for key, value in facts.items() if key not in ("pseudonym_key", "record_key")}

    assert why_refused(stream(PUBLISHED.settings()), PUBLISHED) is None
    assert why_refused(stream(json.dumps(earlier)), PUBLISHED) is None


def test_settings_show_no_key() -> None:
    """What is kept in the database lets nobody seal or find a record."""
    text = PUBLISHED.settings()

    assert KEYS.digest.hex() not in text
    assert KEYS.pseudonym.hex() not in text


def test_view_is_begun_when_all_of_its_streams_are_ours() -> None:
    """A view of which a stream is missing or another's is left out whole."""
    ours = {(VIEW.name, number): stream(PUBLISHED.settings(), number) for number in range(VIEW.partitions)}
    foreign = ours | {(VIEW.name, 0): stream(OTHERS["fields"](PUBLISHED).settings())}
    missing = dict(list(ours.items())[1:])

    assert begun_views([PUBLISHED], ours) == [PUBLISHED]
    assert begun_views([PUBLISHED], foreign) == begun_views([PUBLISHED], missing) == []
