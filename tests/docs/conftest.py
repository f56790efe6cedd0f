"""What the tests of the documents share: where the pages are, and a broker whose control topics are theirs alone."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tellonce.model.errors import TellonceError
from tellonce.testing.kafka_jars import find_java, kafka_jars
from tellonce.testing.kafka_server import KafkaServer


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).parents[2]


@pytest.fixture
def own_kafka() -> Iterator[KafkaServer]:
    """A real Kafka of the test's own: the names of tellonce's control topics are fixed, so it shares with nobody."""
    try:
        find_java()
        kafka_jars()
    except TellonceError as error:
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"CI=true, and {error}", pytrace=False)
        pytest.skip(str(error))
    with KafkaServer() as server:
        yield server
