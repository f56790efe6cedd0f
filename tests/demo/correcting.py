"""Corrects every department's table as an applier ought to, by the city's own declarations, without any service."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Connection, Engine, insert, select, update

from tellonce.avro.catalogue import Catalogue
from tellonce.declare import Binding, CannotHold, Raw
from tellonce.declare.binding import Mirror
from tellonce.declare.loading import load_bindings, load_source
from tellonce.demo.generation import City
from tellonce.demo.tables import tables_of
from tellonce.model.change import Fields
from tellonce.topology import load_topology

__all__ = ["ROOT", "correct_everything"]

ROOT = Path(__file__).parents[2]


def correct_everything(city: City, engines: Mapping[str, Engine]) -> None:
    """Writes what the authorities hold now into every row whose owner is beyond doubt, and completes the mirrors."""
    topology = load_topology(ROOT / "topology.yaml")
    catalogue = Catalogue.load(ROOT / "schemas", topology)
    for department in topology.departments:
        for subscription in topology.subscribed_by(department):
            (binding,) = (b for b in load_bindings(ROOT / "consumers", department) if b.view == subscription.view)
            authority = topology.view(binding.view).authority
            records = _records(engines[authority], catalogue, binding.view, authority)
            with engines[department].begin() as connection:
                _correct(connection, department, binding, records, _owned(city, department, binding), catalogue)


def _records(engine: Engine, catalogue: Catalogue, view: str, authority: str) -> dict[str, Fields]:
    (source,) = load_source(ROOT / "producers", authority)
    with engine.connect() as connection:
        rows = [dict(r) for r in connection.exec_driver_sql(f"SELECT * FROM {source.table}").mappings()]
    return {source.record_key(row): source.fields_of(row, catalogue.view_schema(view).fields) for row in rows}


def _owned(city: City, department: str, binding: Binding) -> dict[str, str]:
    owned = city.ownership[department]
    if not binding.view.startswith("citizen."):
        return {}
    return {row: str(who) for row, who in owned.owners.items() if row not in owned.untouchable}


def _correct(
    connection: Connection,
    department: str,
    binding: Binding,
    records: Mapping[str, Fields],
    owned: Mapping[str, str],
    catalogue: Catalogue,
) -> None:
    table = tables_of(department)[binding.table]
    (key,) = table.primary_key.columns
    if not owned:
        by_certificate = {fields["certificate_number"]: record for record, fields in records.items()}
        column = table.c[binding.columns["certificate_number"].name]
        owned = {str(row[0]): by_certificate[row[1]] for row in connection.execute(select(key, column))}
    if binding.table == "party_file":
        # Files opened during the live load have an owner too, whom their number names.
        files = [str(row[0]) for row in connection.execute(select(key))]
        owned = {file: file.removeprefix("P") for file in files}
    for row, record in owned.items():
        values = _encoded(binding, records[record], catalogue)
        connection.execute(update(table).where(key == key.type.python_type(row)).values(values))
    if isinstance(binding.scope, Mirror):
        missing = [fields for record, fields in records.items() if record not in owned.values()]
        for fields in missing:
            connection.execute(insert(table).values(_encoded(binding, fields, catalogue)))


def _encoded(binding: Binding, fields: Fields, catalogue: Catalogue) -> dict[str, Raw]:
    values: dict[str, Raw] = {}
    for column in binding.columns_for(catalogue.view_schema(binding.view).fields):
        try:
            values[column.column] = column.encode(fields[column.field])
        except CannotHold:
            assert column.else_keep, "only a column that says so keeps its old value"
    return values
