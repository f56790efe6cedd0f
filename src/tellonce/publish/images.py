"""From a row of the authority's table to the fields, the element and the content that a view publishes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tellonce.avro import FieldSpec
from tellonce.declare import Raw, Source
from tellonce.model.change import Fields, Value
from tellonce.model.digest import element, to_hex
from tellonce.model.errors import PoisonMessageError
from tellonce.publish.streams import PublishedView
from tellonce.storage.outbox import Outbox
from tellonce.storage.source_reading import UNREADABLE

__all__ = ["Image", "Publication", "ViewImage", "unpublished_element", "view_image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A row decoded, or the reason why it could not be; `fields` is None for a row that is not there."""

    fields: Fields | None = None
    trouble: PoisonMessageError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewImage:
    """What one view would publish of a record as its row is now.

    `content` is a keyed hash of everything that is published, match-only fields included, by which the ledger knows
    whether there is anything new; it is "" where the row is gone. `digest` is what the record adds to the view's sum.
    """

    content: str = ""
    digest: int | None = None
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
        """Gives the fields of a row as the table holds it, with the record's former identifiers added."""
        if raw is None:
            return Image()
        if raw is UNREADABLE:
            return Image(trouble=PoisonMessageError("the database cannot give the row's values", reason="unreadable"))
        try:
            return Image(fields={**self.source.fields_of(raw, self.specs), **former})
        except PoisonMessageError as error:
            return Image(trouble=error)


def view_image(view: PublishedView, pseudonym: str, image: Image) -> ViewImage:
    """Gives what a view would publish of a record."""
    if image.trouble is not None:
        # Its sentence holds no value, so that another bad value is no news: nothing can be said of either.
        return ViewImage(content=_hash(view, pseudonym, ("unpublishable", str(image.trouble))), trouble=image.trouble)
    if image.fields is None:
        return ViewImage()
    fields = {name: image.fields[name] for name in view.view.fields}
    fields |= {name: image.fields.get(name, ()) for name in view.view.match_only}
    return ViewImage(
        content=_hash(view, pseudonym, ("published", *(part for pair in sorted(fields.items()) for part in pair))),
        digest=element(view.keys.digest, pseudonym, [fields[name] for name in view.digest_fields]),
        fields=fields,
    )


def unpublished_element(view: PublishedView, pseudonym: str, version: int) -> int:
    """Gives what a record adds to the view's sum that cannot be published.

    No department can hold it, so that the sums differ and the record is found and named.
    """
    return element(view.keys.digest, pseudonym, ("unpublished", version))


def _hash(view: PublishedView, pseudonym: str, values: Sequence[Value]) -> str:
    return to_hex(element(view.keys.digest, pseudonym, values))
