"""Brokers as the tests of this folder use them: settings to reach one, and topics that no other test can meet."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

import pytest

from tellonce.kafka.admin import Admin
from tellonce.kafka.embedded import EmbeddedBroker
from tellonce.kafka.settings import KafkaSettings
from tellonce.testing.kafka_server import KafkaServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A broker of either kind."""

    settings: KafkaSettings
    embedded: EmbeddedBroker | None = None

    def topic(self, partitions: int = 1, settings: Mapping[str, str] | None = None) -> str:
        """Make a topic with a name of its own."""
        name = f"test-{uuid4().hex}"
        if self.embedded is not None:
            self.embedded.create_topic(name, partitions=partitions)
        else:
            admin = Admin(self.settings, "test-admin")
            admin.create_topic(name, partitions=partitions, replication_factor=1, settings=settings or {})
        return name


@pytest.fixture
def embedded(embedded_broker: EmbeddedBroker) -> Broker:
    """The embedded broker."""
    settings = KafkaSettings(bootstrap_servers=embedded_broker.bootstrap_servers, group_protocol="classic")
    return Broker(settings=settings, embedded=embedded_broker)


@pytest.fixture
def real(kafka: KafkaServer) -> Broker:
    """The real, plain broker."""
    return Broker(settings=KafkaSettings(bootstrap_servers=kafka.bootstrap_servers))


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Either broker: what a test shows with this holds for both."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Broker)
    return found
