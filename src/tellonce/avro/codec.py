"""The one place that chooses by what a view's messages are written and read: compiled code, or fastavro."""

from tellonce.avro.decoder import Decoder, compile_decoder
from tellonce.avro.derive import WireSchema
from tellonce.avro.encoder import Encoder, compile_encoder
from tellonce.avro.eventrules import SourceNames
from tellonce.avro.fallback import fastavro_decoder, fastavro_encoder
from tellonce.avro.values import Wire

__all__ = ["is_compiled", "make_decoder", "make_encoder"]

# What the compiler knows. A shape that is added to `Wire` and not here goes through fastavro.
_COMPILED = frozenset(
    {
        Wire.TEXT,
        Wire.INT,
        Wire.LONG,
        Wire.BOOLEAN,
        Wire.BYTES,
        Wire.ENUM,
        Wire.DECIMAL,
        Wire.DATE,
        Wire.INSTANT,
        Wire.TEXT_LIST,
    }
)


def is_compiled(schema: WireSchema) -> bool:
    """Whether messages of this schema are written and read by compiled code; one field decides for all."""
    return all(field.value.wire in _COMPILED for field in schema.fields)


def make_encoder(schema: WireSchema, names: SourceNames) -> Encoder:
    """The function that writes an event as a framed message.

    It raises CannotEncode where a field is missing, is not the view's or holds a value that is not of its type, and
    InvariantError where the event is another view's.
    It may be called from several threads.
    """
    if is_compiled(schema):
        return compile_encoder(schema.fields, names, schema.schema_id)
    return fastavro_encoder(schema, names)


def make_decoder(
    written: WireSchema,
    newest: WireSchema,
    names: SourceNames,
    *,
    wanted: frozenset[str] | None,
    with_before: bool,
) -> Decoder:
    """The function that reads a framed message of the schema `written` in the fields of `newest`.

    It raises UndecodableMessage where the bytes are no such message.
    It may be called from several threads.
    """
    if is_compiled(written):
        return compile_decoder(written.fields, newest.fields, names, wanted=wanted, with_before=with_before)
    return fastavro_decoder(written, newest.fields, names, wanted=wanted, with_before=with_before)
