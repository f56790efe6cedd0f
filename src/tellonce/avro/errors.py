"""What can be wrong with one message, without ever quoting what it holds."""

from tellonce.model.errors import PoisonMessageError

__all__ = ["CannotEncode", "UndecodableMessage", "UnknownSchemaError"]


class CannotEncode(PoisonMessageError):  # noqa: N818 - says what happened to the record, which parks
    """A change event does not fit its view's schema; `facts` name the view and the field, never the value."""


class UndecodableMessage(PoisonMessageError):  # noqa: N818 - says what the message is
    """The bytes are no message of this view: damaged, cut, or written by another schema."""


class UnknownSchemaError(PoisonMessageError):
    """The message names a schema id that the lock does not list; a newer checkout of the schemas may."""
