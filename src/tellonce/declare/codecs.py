"""Every codec a declaration may name, and the codec of a column that names none."""

from tellonce.avro.fields import Kind
from tellonce.declare.codec import CannotHold, Codec, Raw, Undecodable, encode_checked
from tellonce.declare.identifier import identifier
from tellonce.declare.numeric import decimal, integer
from tellonce.declare.textual import boolean, bytes_, codes, text
from tellonce.declare.times import instant, iso_date, yyyymmdd
from tellonce.model.errors import ConfigurationError

__all__ = [
    "CannotHold",
    "Codec",
    "Raw",
    "Undecodable",
    "boolean",
    "bytes_",
    "codes",
    "decimal",
    "default_codec",
    "encode_checked",
    "identifier",
    "instant",
    "integer",
    "iso_date",
    "text",
    "yyyymmdd",
]

_PLAIN: dict[Kind, Codec] = {
    Kind.TEXT: text(),
    Kind.INTEGER: integer(),
    Kind.BOOLEAN: boolean(),
    Kind.DATE: iso_date(),
    Kind.INSTANT: instant(),
    Kind.BYTES: bytes_(),
}


def default_codec(kind: Kind, precision: int | None = None, scale: int | None = None) -> Codec:
    """Gives the codec of a column that holds a field of this kind as it is, in the database's own type.

    `precision` and `scale` are those of a decimal field.

    Raises:
        ConfigurationError: no single column holds such a field (a list of texts), or a decimal's precision is not
            known.
    """
    if kind is Kind.DECIMAL:
        if precision is None:
            raise ConfigurationError("a decimal field needs a precision in its schema; found none")
        return decimal(precision, scale or 0)
    if kind not in _PLAIN:
        raise ConfigurationError(f"no single column holds a field of kind {kind}; it can only be matched on")
    return _PLAIN[kind]
