"""Dealing with one message at a time, so that whatever is wrong with it ends there."""

from collections.abc import Generator
from contextlib import contextmanager

import structlog

from tellonce.model.errors import InvariantError, PoisonMessageError, TellonceError
from tellonce.observability.unforeseen import describe

__all__ = ["message_by_itself"]

_log = structlog.get_logger()


@contextmanager
def message_by_itself(shape: str, **facts: object) -> Generator[None]:
    """Lets what fails in the block for the message's own sake be logged, and the service go on with the next.

    What is away, wrongly set up or lost to another process is not the message's fault, and passes.
    """
    try:
        yield
    except (PoisonMessageError, InvariantError) as error:
        _log.error("control_message_failed", shape=shape, reason=str(error), **facts)
    except TellonceError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever one message does, the next is another's
        _log.error("control_message_failed", shape=shape, **describe(error).as_fields(), **facts)
