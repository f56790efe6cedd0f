"""What can go wrong, classified by how a service reacts to it."""

__all__ = [
    "ConfigurationError",
    "InvariantError",
    "PoisonMessageError",
    "RetryableError",
    "TellonceError",
]


class TellonceError(Exception):
    """Any failure that tellonce itself reports; `str()` is one sentence free of personal data.

    `facts` are the fields from which a log line is built (topic, partition, offset, view, reason, …).
    """

    exit_code = 1

    def __init__(self, message: str, **facts: str | float | bool | None) -> None:
        super().__init__(message)
        self.facts = facts


class ConfigurationError(TellonceError):
    """A file, flag, environment variable, schema or binding is wrong: a person must change it."""

    exit_code = 3


class RetryableError(TellonceError):
    """Infrastructure is away (broker, database): the service pauses and tries again."""

    exit_code = 4


class PoisonMessageError(TellonceError):
    """One message or row cannot be processed: its record is parked and no other."""


class InvariantError(TellonceError):
    """The program or its stored state contradicts itself: the stream or service stops and says so."""
