"""The demonstration city's contract and declarations hold together, and fit its tables."""

import pytest

from demo.correcting import ROOT
from tellonce.avro.catalogue import Catalogue
from tellonce.avro.check import check_schemas
from tellonce.declare.check import check_binding, check_source
from tellonce.declare.loading import load_bindings, load_source
from tellonce.demo.tables import DEPARTMENTS, tables_of
from tellonce.topology import Topology, load_topology


@pytest.fixture(scope="module")
def topology() -> Topology:
    """The city's contract."""
    return load_topology(ROOT / "topology.yaml")


@pytest.fixture(scope="module")
def catalogue(topology: Topology) -> Catalogue:
    """The city's published schemas."""
    return Catalogue.load(ROOT / "schemas", topology)


def test_city_has_the_departments_whose_tables_are_made(topology: Topology) -> None:
    """Each department of the contract has tables, and no other has."""
    assert set(topology.departments) == set(DEPARTMENTS)


def test_published_schemas_can_be_read_as_each_other(topology: Topology) -> None:
    """Every version of a view is compatible with every other, and the lock has them all."""
    assert check_schemas(ROOT / "schemas", topology) == ()


@pytest.mark.parametrize("department", DEPARTMENTS)
def test_bindings_hold_their_views(topology: Topology, catalogue: Catalogue, department: str) -> None:
    """Each subscription has a binding that maps the whole view."""
    views = [subscription.view for subscription in topology.subscribed_by(department)]

    bindings = load_bindings(ROOT / "consumers", department, subscribed=views)

    assert [binding.view for binding in bindings] == views
    for binding in bindings:
        schema = catalogue.view_schema(binding.view)
        assert check_binding(binding, schema, topology.view(binding.view), department=department) == ()


@pytest.mark.parametrize("department", ["public-security", "civil-affairs"])
def test_sources_fill_what_is_published(topology: Topology, catalogue: Catalogue, department: str) -> None:
    """An authority's source gives every field of its views and none that is in no view, such as the telephone."""
    (source,) = load_source(ROOT / "producers", department)

    published = {
        spec.name: spec
        for view in topology.published_by(department)
        for spec in catalogue.view_schema(view.name).fields
    }

    assert check_source(source, published.values(), topology.record_types[source.record_type].fields) == ()
    assert "phone" not in published


@pytest.mark.parametrize("department", DEPARTMENTS)
def test_declared_columns_are_in_the_tables(topology: Topology, department: str) -> None:
    """A declaration names only tables and columns that the department has."""
    tables = tables_of(department)

    for binding in load_bindings(ROOT / "consumers", department):
        named = {column.name for column in binding.columns.values()} | set(binding.mark)
        assert named <= set(tables[binding.table].columns.keys())
    if topology.published_by(department):
        for source in load_source(ROOT / "producers", department):
            named = {column.name for column in source.columns.values()} | set(source.key)
            assert named <= set(tables[source.table].columns.keys())


def test_at_least_one_subscription_waits_for_a_person(topology: Topology) -> None:
    """The demonstration shows both policies, repair and flag."""
    policies = {s.on_divergence for view in topology.views() for s in view.subscriptions.values()}

    assert policies == {"repair", "flag"}
