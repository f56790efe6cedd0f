"""The control messages, as JSON with a fixed shape.

Digests and sums are 32 hexadecimal digits; instants are epoch milliseconds; a version is (epoch, counter).
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tellonce.model.divergence import DivergenceKind, DivergenceState, Reason, RecordState
from tellonce.model.errors import PoisonMessageError

__all__ = [
    "MAX_MESSAGE_BYTES",
    "MAX_PAGE_RECORDS",
    "MOST_ANSWERED",
    "Answer",
    "Attestation",
    "BucketSum",
    "DivergenceEvent",
    "Evidence",
    "Heartbeat",
    "Inquiry",
    "Mark",
    "Message",
    "Order",
    "OrderAction",
    "PageEntry",
    "Reading",
    "RepairRequest",
    "decode_message",
    "encode_message",
    "stream_key",
]

MAX_PAGE_RECORDS = 5_000
MOST_ANSWERED = 4_000
"""So many records are in one answer at most, however many were asked for: the longest stay below a topic's 1 MB."""
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""No control message is larger: an answer with all buckets of a stream is about half as large."""

_MAX_INT64 = 2**63 - 1
_MAX_BUCKETS = 65_536
_MAX_DEPARTMENTS = 1_000

# Every field is bounded: whoever may write a topic is not therefore to be trusted with what its readers keep.
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Count = Annotated[int, Field(ge=0, le=_MAX_INT64)]
Instant = Annotated[int, Field(ge=-_MAX_INT64, le=_MAX_INT64)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,199}$")]
"""A view, a department, a kind of finding, a metric."""
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,100}$")]
Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
Why = Annotated[Reason, BeforeValidator(lambda word: Reason.of(word) if isinstance(word, str) else word)]
"""Why a record is parked; a word that a later release has added is read as `other`, and so is one that is none."""
Text = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$")]
"""What a person wrote: one line, without what steers a terminal or turns the direction of writing."""
Bucket = Annotated[int, Field(ge=0, lt=_MAX_BUCKETS)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Departments = Annotated[tuple[Name, ...], Field(max_length=_MAX_DEPARTMENTS)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = 1


class _OfStream(_Message):
    view: Name
    partition: Annotated[int, Field(ge=0, lt=2**31)]


class Mark(_OfStream):
    """The authority's statement of a stream: in this epoch, after this sequence, so many records of this sum."""

    department: Name
    epoch: Annotated[int, Field(ge=1, le=_MAX_INT64)]
    sequence: Count
    sum: Hex32
    count: Count
    at_ms: Instant


class Attestation(_OfStream):
    """A department's statement of the same stream, computed from what its own tables hold.

    `count` is how many records are in the sum; `states` counts the department's records by state. `unlinked_rows` and
    `unreadable_rows` are open rows of its table, as its last whole sweep found them: those that no record answers to,
    and those with a bound column that cannot be read. The first partition tells them for all.
    """

    department: Name
    epoch: Annotated[int, Field(ge=1, le=_MAX_INT64)]
    sequence: Count
    sum: Hex32
    count: Count
    states: Mapping[RecordState, Count]
    unlinked_rows: Count = 0
    unreadable_rows: Count = 0
    at_ms: Instant


class Inquiry(_OfStream):
    """The reconciler's question about a stream: bucket sums, or the records of some buckets.

    `departments` are those that shall answer, the authority among them.
    `after` asks for the page behind that pseudonym.
    """

    inquiry_id: Id
    departments: Departments
    ask: Literal["buckets", "records"]
    buckets: Annotated[tuple[Bucket, ...], Field(max_length=_MAX_BUCKETS)] = ()
    after: Hex32 | Literal[""] = ""
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_RECORDS)] = MAX_PAGE_RECORDS
    at_ms: Instant


class BucketSum(BaseModel):
    """Sum and count of the records of one bucket."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    bucket: Bucket
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
    reason: Why | None = None


class Answer(_OfStream):
    """An answer to an inquiry, true at its own position.

    `position` is the highest sequence at or below which the answering side misses nothing; 0 if it cannot tell.
    `next_after` names the pseudonym to ask behind for the next page; empty when this was the last.
    """

    inquiry_id: Id
    department: Name
    epoch: Count
    position: Count
    buckets: Annotated[tuple[BucketSum, ...], Field(max_length=_MAX_BUCKETS)] = ()
    records: Annotated[tuple[PageEntry, ...], Field(max_length=MAX_PAGE_RECORDS)] = ()
    next_after: Hex32 | Literal[""] = ""
    at_ms: Instant


OrderAction = Literal["repair", "tombstones"]


class Order(_OfStream):
    """An instruction to the authority's relay.

    `repair`: publish these records again, for the department that orders it.
    `tombstones`: every live subscription has attested past `up_to_sequence` of `epoch`; deleted records up to there may
    be followed by a null.
    """

    order_id: Id
    action: OrderAction
    pseudonyms: Annotated[tuple[Hex32, ...], Field(max_length=MAX_PAGE_RECORDS)] = ()
    epoch: Count = 0
    up_to_sequence: Count = 0
    by: Text
    reason: Text
    at_ms: Instant


class RepairRequest(_OfStream):
    """The reconciler's word to one department: these records of yours are to be published again for you.

    The department orders them of the authority, and applies them at the version that it has already.
    """

    order_id: Id
    department: Name
    pseudonyms: Annotated[tuple[Hex32, ...], Field(max_length=MAX_PAGE_RECORDS)]
    by: Text
    reason: Text
    at_ms: Instant


class DivergenceEvent(_OfStream):
    """The present state of one divergence; the newest message with its id holds.

    `authority_digest` and `department_digest` are what each side adds to its sum, so a stream's difference can be
    explained by its known divergences without another inquiry.
    """

    divergence_id: Id
    department: Name
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
    reason: Why | None = None
    order_id: Id | None = None
    repairs: Count = 0
    by: Text = "reconciler"
    note: Text | None = None
    decision_id: Id | None = None
    """The person's decision that this state follows from, so that each is carried out once."""
    opened_at_ms: Instant
    seen_at_ms: Instant = 0
    """When, by the department's clock, it last answered so; only what it attests after that can show it is over."""
    at_ms: Instant


class Evidence(_Message):
    """A count, state or finding that a service recorded, for assessment; `facts` hold names and numbers."""

    source: Name
    kind: Code
    facts: Annotated[Mapping[Code, Text | Instant | Number | None], Field(max_length=100)]
    at_ms: Instant


class Reading(BaseModel):
    """A gauge as a service had it: its labels and its value, None where that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    labels: Annotated[Mapping[Code, Text], Field(max_length=10)]
    value: Number | None


class Heartbeat(_Message):
    """A service's sign of life, with how things stand there: some of its gauges by name.

    `department` is `reconciler` for the reconciler. `holder` tells processes of one service apart.
    """

    department: Name
    service: Literal["relay", "applier", "reconciler"]
    holder: Text
    state: Literal["running", "paused", "stopped"]
    release: Text
    started_at_ms: Instant
    at_ms: Instant
    gauges: Annotated[Mapping[Code, Annotated[tuple[Reading, ...], Field(max_length=20_000)]], Field(max_length=100)]


Message = Mark | Attestation | Inquiry | Answer | Order | RepairRequest | DivergenceEvent | Evidence | Heartbeat
"""Every control message; its shape tells the kind of topic that carries it."""

M = TypeVar("M", bound=BaseModel)


def encode_message(message: BaseModel) -> bytes:
    """Gives a control message as JSON in UTF-8."""
    return message.model_dump_json(exclude_defaults=False).encode()


def decode_message(shape: type[M], data: bytes) -> M:
    """Gives the control message that the bytes hold.

    Raises:
        PoisonMessageError: the bytes are not a message of that shape.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        msg = f"expected a {shape.__name__} message of at most {MAX_MESSAGE_BYTES} bytes, found {len(data)}"
        raise PoisonMessageError(f"{msg}; it was skipped", shape=shape.__name__)
    try:
        return shape.model_validate_json(data)
    except ValidationError as error:
        # Only the shape's own names are told: what else a place is made of may be anybody's text.
        places = ", ".join(dict.fromkeys(_field(shape, each["loc"]) for each in error.errors(include_input=False)[:5]))
        msg = f"expected a message of shape {shape.__name__}, found one that is wrong at {places}; it was skipped"
        raise PoisonMessageError(msg, shape=shape.__name__) from error


def _field(shape: type[BaseModel], place: tuple[int | str, ...]) -> str:
    name = str(place[0]) if place else "message"
    return name if name in shape.model_fields or not place else "a field that it does not have"


def stream_key(view: str, partition: int) -> bytes:
    """Gives the Kafka key of messages about one stream."""
    return f"{view}/{partition}".encode()
