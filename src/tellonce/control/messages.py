"""The control messages, as JSON with a fixed shape.

Digests and sums are 32 hexadecimal digits; instants are epoch milliseconds; a version is (epoch, counter).
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tellonce.model.divergence import DivergenceKind, DivergenceState, RecordState
from tellonce.model.errors import PoisonMessageError

__all__ = [
    "MAX_PAGE_RECORDS",
    "Answer",
    "Attestation",
    "BucketSum",
    "DivergenceEvent",
    "Evidence",
    "Heartbeat",
    "Inquiry",
    "Mark",
    "Order",
    "OrderAction",
    "PageEntry",
    "Reading",
    "decode_message",
    "encode_message",
    "stream_key",
]

MAX_PAGE_RECORDS = 5_000

Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Count = Annotated[int, Field(ge=0)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = 1


class _OfStream(_Message):
    view: str
    partition: Count


class Mark(_OfStream):
    """The authority's statement of a stream: in this epoch, after this sequence, so many records of this sum."""

    department: str
    epoch: Annotated[int, Field(ge=1)]
    sequence: Count
    sum: Hex32
    count: Count
    at_ms: int


class Attestation(_OfStream):
    """A department's statement of the same stream, computed from what its own tables hold.

    `count` is how many records are in the sum; `states` counts the department's records by state.
    """

    department: str
    epoch: Annotated[int, Field(ge=1)]
    sequence: Count
    sum: Hex32
    count: Count
    states: Mapping[RecordState, Count]
    unlinked_rows: Count = 0
    at_ms: int


class Inquiry(_OfStream):
    """The reconciler's question about a stream: bucket sums, or the records of some buckets.

    `departments` are those that shall answer, the authority among them.
    `after` asks for the page behind that pseudonym.
    """

    inquiry_id: str
    departments: tuple[str, ...]
    ask: Literal["buckets", "records"]
    buckets: tuple[int, ...] = ()
    after: str = ""
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_RECORDS)] = MAX_PAGE_RECORDS
    at_ms: int


class BucketSum(BaseModel):
    """Sum and count of the records of one bucket."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    bucket: Count
    sum: Hex32
    count: Count


class PageEntry(BaseModel):
    """One record of a stream as the answering side has it; `digest` is what it adds to the sum, if anything."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    pseudonym: Hex32
    epoch: Count
    version: Count
    sequence: Count
    digest: Hex32 | None
    state: RecordState
    reason: str | None = None


class Answer(_OfStream):
    """An answer to an inquiry, true at its own position.

    `position` is the highest sequence at or below which the answering side misses nothing; 0 if it cannot tell.
    `next_after` names the pseudonym to ask behind for the next page; empty when this was the last.
    """

    inquiry_id: str
    department: str
    epoch: Count
    position: Count
    buckets: tuple[BucketSum, ...] = ()
    records: tuple[PageEntry, ...] = ()
    next_after: str = ""
    at_ms: int


OrderAction = Literal["repair", "tombstones", "resync"]


class Order(_OfStream):
    """An instruction to the authority's relay.

    `repair`: publish these records again, for these departments.
    `tombstones`: every live subscription has attested past `up_to_sequence` of `epoch`; deleted records up to there may
    be followed by a null.
    """

    order_id: str
    action: OrderAction
    pseudonyms: tuple[Hex32, ...] = ()
    departments: tuple[str, ...] = ()
    epoch: Count = 0
    up_to_sequence: Count = 0
    by: str
    reason: str
    at_ms: int


class DivergenceEvent(_OfStream):
    """The present state of one divergence; the newest message with its id holds.

    `authority_digest` and `department_digest` are what each side adds to its sum, so a stream's difference can be
    explained by its known divergences without another inquiry.
    """

    divergence_id: str
    department: str
    pseudonym: Hex32
    kind: DivergenceKind
    state: DivergenceState
    authority_epoch: Count
    authority_version: Count
    authority_sequence: Count
    department_epoch: Count
    department_version: Count
    authority_digest: Hex32 | None
    department_digest: Hex32 | None
    reason: str | None = None
    order_id: str | None = None
    repairs: Count = 0
    by: str = "reconciler"
    note: str | None = None
    opened_at_ms: int
    seen_at_ms: int = 0
    """When, by the department's clock, it last answered so; only what it attests after that can show it is over."""
    at_ms: int


class Evidence(_Message):
    """A count, state or finding that a service recorded, for assessment; `facts` hold names and numbers."""

    source: str
    kind: str
    facts: Mapping[str, str | int | float | None]
    at_ms: int


class Reading(BaseModel):
    """A gauge as a service had it: its labels and its value, None where that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    labels: Mapping[str, str]
    value: float | None


class Heartbeat(_Message):
    """A service's sign of life, with how things stand there: some of its gauges by name.

    `department` is `reconciler` for the reconciler. `holder` tells processes of one service apart.
    """

    department: str
    service: Literal["relay", "applier", "reconciler"]
    holder: str
    state: Literal["running", "paused", "stopped"]
    release: str
    started_at_ms: int
    at_ms: int
    gauges: Mapping[str, tuple[Reading, ...]]


M = TypeVar("M", bound=BaseModel)


def encode_message(message: BaseModel) -> bytes:
    """Gives a control message as JSON in UTF-8."""
    return message.model_dump_json(exclude_defaults=False).encode()


def decode_message(shape: type[M], data: bytes) -> M:
    """Gives the control message that the bytes hold.

    Raises:
        PoisonMessageError: the bytes are not a message of that shape.
    """
    try:
        return shape.model_validate_json(data)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, e["loc"])) or "message" for e in error.errors()[:5])
        msg = f"expected a {shape.__name__} message, found one that is wrong at {places}; it was skipped"
        raise PoisonMessageError(msg, shape=shape.__name__) from error


def stream_key(view: str, partition: int) -> bytes:
    """Gives the Kafka key of messages about one stream."""
    return f"{view}/{partition}".encode()
