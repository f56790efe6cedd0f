"""Records whose newest state cannot be published, as operators see them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from tellonce.model.digest import pseudonym_of
from tellonce.publish.streams import PublishedView
from tellonce.storage.tables import own_tables

__all__ = ["UnpublishedRecord", "list_unpublished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpublishedRecord:
    """A record that is kept back, without its content; `record_key` is the authority's own. `at_ms` is in epoch ms."""

    view: str
    pseudonym: str
    record_key: str
    version: int
    reason: str
    detail: str
    at_ms: int


def list_unpublished(connection: Connection, views: Sequence[PublishedView]) -> list[UnpublishedRecord]:
    """Gives the records of these views that are kept back, oldest first."""
    table = own_tables(connection.dialect.name).unpublished
    keys = {view.name: view.keys.pseudonym for view in views}
    statement = select(table).where(table.c.view.in_(keys)).order_by(table.c.at_ms, table.c.record_key)
    return [
        UnpublishedRecord(
            view=row.view,
            pseudonym=pseudonym_of(keys[row.view], row.record_key),
            record_key=row.record_key,
            version=row.version,
            reason=row.reason,
            detail=row.detail,
            at_ms=row.at_ms,
        )
        for row in connection.execute(statement)
    ]
