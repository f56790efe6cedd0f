"""The Avro side of the contract: schemas derived per view, their lock, their compatibility and their codec."""

from tellonce.avro.errors import CannotEncode, UndecodableMessage, UnknownSchemaError
from tellonce.avro.fields import FieldSpec, Kind, ViewSchema
from tellonce.avro.findings import Finding
from tellonce.avro.lock import LOCK_FILE, check_lock, extend_lock

__all__ = [
    "LOCK_FILE",
    "CannotEncode",
    "FieldSpec",
    "Finding",
    "Kind",
    "UndecodableMessage",
    "UnknownSchemaError",
    "ViewSchema",
    "check_lock",
    "extend_lock",
]
