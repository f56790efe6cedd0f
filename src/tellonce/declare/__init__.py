"""What a department declares about its own tables, and the checks that hold its declarations to the contract.

Declarations import from `tellonce`, the mechanism from here. The offline checks are in `tellonce.declare.check`.
"""

from tellonce.declare.binding import Binding, BoundColumn, Column, Existing, Mirror, Scope
from tellonce.declare.codec import CannotHold, Codec, Raw, Undecodable, encode_checked
from tellonce.declare.codecs import default_codec
from tellonce.declare.derivation import Derivation
from tellonce.declare.loading import load_bindings, load_source
from tellonce.declare.matching import Candidate, Current, MatchRule, Previous
from tellonce.declare.names import split_table
from tellonce.declare.source import Former, Source, record_key_of

__all__ = [
    "Binding",
    "BoundColumn",
    "Candidate",
    "CannotHold",
    "Codec",
    "Column",
    "Current",
    "Derivation",
    "Existing",
    "Former",
    "MatchRule",
    "Mirror",
    "Previous",
    "Raw",
    "Scope",
    "Source",
    "Undecodable",
    "default_codec",
    "encode_checked",
    "load_bindings",
    "load_source",
    "record_key_of",
    "split_table",
]
