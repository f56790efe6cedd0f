"""Brokers as the tests of Kafka code use them: settings to reach one, and topics that no other test can meet."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

from tellonce.kafka.admin import Admin
from tellonce.kafka.embedded import EmbeddedBroker
from tellonce.kafka.settings import KafkaSettings
from tellonce.testing.kafka_server import KafkaServer

__all__ = ["Broker", "settings_of", "unique"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A broker of either kind."""

    settings: KafkaSettings
    embedded: EmbeddedBroker | None = None

    def topic(self, partitions: int = 1, settings: Mapping[str, str] | None = None) -> str:
        """Make a topic with a name of its own."""
        name = unique("topic")
        if self.embedded is not None:
            self.embedded.create_topic(name, partitions=partitions)
        else:
            admin = Admin(self.settings, "test-admin")
            admin.create_topic(name, partitions=partitions, replication_factor=1, settings=settings or {})
        return name


def unique(word: str) -> str:
    """A name that no other test has."""
    return f"{word}-{uuid4().hex}"


def settings_of(server: KafkaServer, user: str = "admin") -> KafkaSettings:
    """The settings with which a user reaches a real broker, plain or secured."""
    names = {name.replace(".", "_"): value for name, value in server.client_settings(user).items()}
    return KafkaSettings.model_validate(names)
