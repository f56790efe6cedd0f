"""From a row of the authority's table to the fields, the element and the bytes that a view publishes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tellonce.avro import FieldSpec
from tellonce.declare import Raw, Source
from tellonce.model.change import Fields
from tellonce.model.digest import element
from tellonce.model.errors import PoisonMessageError
from tellonce.publish.streams import PublishedView
from tellonce.storage.outbox import Outbox

__all__ = ["Image", "Publication"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A row decoded, or the reason why it could not be; `fields` is None for a row that is not there."""

    fields: Fields | None = None
    trouble: PoisonMessageError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One record type as its authority publishes it: the declared source, its outbox, its fields and its views."""

    source: Source
    outbox: Outbox
    specs: Sequence[FieldSpec]
    views: Sequence[PublishedView]

    def image(self, raw: Mapping[str, Raw] | None, former: Mapping[str, tuple[str, ...]]) -> Image:
        """Gives the fields of a row as the table or the outbox holds it, with the record's former identifiers added."""
        if raw is None:
            return Image()
        try:
            return Image(fields={**self.source.fields_of(raw, self.specs), **former})
        except PoisonMessageError as error:
            return Image(trouble=error)

    def element_of(self, view: PublishedView, pseudonym: str, version: int, image: Image) -> int | None:
        """Gives what the record adds to the view's sum; nothing where it is not there.

        A row that cannot be decoded still adds an element, one that no department can hold, so that the sums differ
        and the record is found and named.
        """
        if image.trouble is not None:
            return element(view.keys.digest, pseudonym, ("unpublished", version))
        if image.fields is None:
            return None
        return element(view.keys.digest, pseudonym, [image.fields[name] for name in view.digest_fields])
