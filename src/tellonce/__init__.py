"""Departments tell each other of record changes once, and can prove it.

These are the names that a department's declarations use; everything else is reached through its own module.
"""

from tellonce.declare.binding import Binding, Column, candidate, current, existing, mirror, previous
from tellonce.declare.codecs import (
    boolean,
    bytes_,
    codes,
    decimal,
    identifier,
    instant,
    integer,
    iso_date,
    text,
    yyyymmdd,
)
from tellonce.declare.derivation import from_15_digits
from tellonce.declare.source import Former, Source

__all__ = [
    "Binding",
    "Column",
    "Former",
    "Source",
    "__version__",
    "boolean",
    "bytes_",
    "candidate",
    "codes",
    "current",
    "decimal",
    "existing",
    "from_15_digits",
    "identifier",
    "instant",
    "integer",
    "iso_date",
    "mirror",
    "previous",
    "text",
    "yyyymmdd",
]

__version__ = "0.1.0"
