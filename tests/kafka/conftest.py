"""The brokers of this folder's tests."""

import pytest

from kafka_brokers import Broker, settings_of
from tellonce.kafka.embedded import EmbeddedBroker
from tellonce.kafka.settings import KafkaSettings
from tellonce.testing.kafka_server import KafkaServer


@pytest.fixture
def embedded(embedded_broker: EmbeddedBroker) -> Broker:
    """The embedded broker."""
    settings = KafkaSettings(bootstrap_servers=embedded_broker.bootstrap_servers, group_protocol="classic")
    return Broker(settings=settings, embedded=embedded_broker)


@pytest.fixture
def real(kafka: KafkaServer) -> Broker:
    """The real, plain broker."""
    return Broker(settings=settings_of(kafka))


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Either broker: what a test shows with this holds for both."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Broker)
    return found
