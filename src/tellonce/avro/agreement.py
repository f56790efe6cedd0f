"""Whether compiled code writes and reads what fastavro does; asked at every start, before the first message.

The compiler is ours, and what it gets wrong would lie in topics for ever.
The same code may also meet another Python or another fastavro than it was tested with.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import fastavro

from tellonce.avro.codec import make_decoder, make_encoder
from tellonce.avro.decoder import Decoder
from tellonce.avro.derive import WireSchema
from tellonce.avro.encoder import Encoder
from tellonce.avro.eventrules import SourceNames
from tellonce.avro.fallback import fastavro_bytes, resolve_row
from tellonce.avro.samples import sample_events
from tellonce.avro.wire import Damaged
from tellonce.model.change import ChangeEvent
from tellonce.model.errors import ConfigurationError, TellonceError

__all__ = ["Codec", "check_agreement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """What writes a view's newest schema and what reads one of its versions as the newest."""

    written: WireSchema
    newest: WireSchema
    encode: Encoder | None
    """None where `written` is an older version, by which nobody writes any more."""
    decode: Decoder
    """Of whole events, both sides."""


def check_agreement(codec: Codec, names: SourceNames) -> None:
    """Returns where codec and fastavro say the same of the samples of every field, both ways.

    Raises:
        ConfigurationError: they do not; the message names view, schema and field.
    """
    events = list(sample_events(codec.written.fields, names))
    problem = _disagreement(codec, events)
    if problem is None:
        return
    place, field = "its rows as a whole", _wrong_field(codec, names)
    if _disagreement(codec, [replace(event, before=None, after=None) for event in events]) is not None:
        # Said first: what is wrong around the rows is wrong with each field too.
        place, field = "its envelope", None
    elif field is not None:
        place = f"field {field}"
    subject = f"view {names.view}, schema {codec.written.schema_id}, {place}"
    expected = f"expected the compiled codec to agree with fastavro {fastavro.__version__}, found {problem}"
    message = f"{subject}: {expected}; install the versions of requirements.lock, and report it if they are"
    raise ConfigurationError(message, view=names.view, schema_id=codec.written.schema_id, field=field)


def _wrong_field(codec: Codec, names: SourceNames) -> str | None:
    """The first field that disagrees in a row of its own; None if it takes the whole row to see it."""
    newest = {field.spec.name: field for field in codec.newest.fields}
    for field in codec.written.fields:
        reader = newest.get(field.spec.name)
        if reader is None:
            continue
        written, read = codec.written.of_field(field), codec.newest.of_field(reader)
        encode = make_encoder(written, names) if codec.encode else None
        decode = make_decoder(written, read, names, wanted=None, with_before=True)
        alone = Codec(written=written, newest=read, encode=encode, decode=decode)
        if _disagreement(alone, sample_events(written.fields, names)) is not None:
            return field.spec.name
    return None


def _disagreement(codec: Codec, events: Iterable[ChangeEvent]) -> str | None:
    for event in events:
        theirs = fastavro_bytes(codec.written, event)
        if codec.encode is not None and _written(codec.encode, event) != theirs:
            return "other bytes written"
        # By their representation: to Python 1 equals true, and 1.0 equals 1.00.
        if repr(_read(codec.decode, theirs)) != repr(_expected(codec, event)):
            return "another value read"
    return None


def _written(encode: Encoder, event: ChangeEvent) -> bytes | None:
    try:
        return encode(event)
    except TellonceError:
        return None


def _read(decode: Decoder, data: bytes) -> ChangeEvent | None:
    try:
        return decode(data)
    except TellonceError:
        return None


def _expected(codec: Codec, event: ChangeEvent) -> ChangeEvent | None:
    written, newest = codec.written.fields, codec.newest.fields
    try:
        before, after = (resolve_row(row, written, newest) for row in (event.before, event.after))
    except Damaged:
        # A symbol that the newest version dropped without a default; the decoder has to refuse it.
        return None
    return replace(event, before=before, after=after)
