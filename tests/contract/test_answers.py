"""What both sides answer to the reconciler's questions."""

from collections.abc import Callable
from typing import Literal

import pytest

from contract.city import City
from tellonce.apply.answers import answer_inquiry as answer_as_subscriber
from tellonce.cli.contract import load_contract
from tellonce.cli.subscribing import subscriber_of
from tellonce.cli.wiring import authority_of
from tellonce.control.messages import Answer, Inquiry
from tellonce.publish.answers import answer_inquiry as answer_as_authority
from tellonce.storage.database import reading

Ask = Callable[[City, Inquiry], Answer | None]


def ask_authority(city: City, inquiry: Inquiry) -> Answer | None:
    """What the registry answers."""
    name = city.names.registry
    settings, engine = city.settings(name), city.engines[name]
    (view,) = authority_of(settings, load_contract(settings), name, engine).views
    with reading(engine) as connection:
        return answer_as_authority(connection, name, view, inquiry)


def ask_clinic(city: City, inquiry: Inquiry) -> Answer | None:
    """What the clinic answers."""
    name = city.names.clinic
    settings, engine = city.settings(name), city.engines[name]
    (view,) = subscriber_of(settings, load_contract(settings), name, engine)
    return answer_as_subscriber(view, inquiry)


def ask_all(city: City, ask: Ask, what: Literal["buckets", "records"], *buckets: int) -> list[Answer]:
    """Ask the same of every partition."""
    (view,) = load_contract(city.settings(city.names.registry)).topology.published_by(city.names.registry)
    answers = [
        ask(
            city,
            Inquiry(
                view=view.name,
                partition=partition,
                inquiry_id="i",
                departments=(city.names.registry, city.names.clinic),
                ask=what,
                buckets=buckets,
                at_ms=0,
            ),
        )
        for partition in range(view.partitions)
    ]
    return [answer for answer in answers if answer is not None]


@pytest.mark.parametrize("ask", [ask_authority, ask_clinic])
def test_only_the_buckets_asked_for_are_answered(city: City, ask: Ask) -> None:
    """An answer about some of many buckets stays small enough for a broker, and names no other record."""
    city.begin_epoch()
    city.add(*range(1, 9))
    city.run()

    sums = {each.bucket: each for answer in ask_all(city, ask, "buckets") for each in answer.buckets}
    wanted = min(sums)
    asked = [each for answer in ask_all(city, ask, "buckets", wanted) for each in answer.buckets]
    records = [each for answer in ask_all(city, ask, "records", wanted) for each in answer.records]

    assert len(sums) > 1
    assert {each.bucket for each in asked} == {wanted}
    assert len(records) == sum(each.count for each in asked)
