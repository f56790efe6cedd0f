"""The topology as values: names, look-ups, and what the models refuse by themselves."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tellonce.model.errors import ConfigurationError
from tellonce.topology import Topology, View, load_topology


@pytest.fixture
def topology(example_path: Path) -> Topology:
    """The example, loaded."""
    return load_topology(example_path)


def a_view(**changes: object) -> View:
    """A valid view with some of its values replaced."""
    values: dict[str, object] = {
        "name": "citizen.identity",
        "record_type": "citizen",
        "authority": "public-security",
        "fields": ["id_number"],
        "major": 2,
        "partitions": 1,
        "buckets": 16,
        "subscriptions": {},
    }
    return View.model_validate({**values, **changes})


def test_view_carries_its_names_and_topic(topology: Topology) -> None:
    """A view knows its full name, record type, authority and topic without the topology around it."""
    view = topology.view("citizen.identity")

    assert (view.name, view.short_name, view.record_type) == ("citizen.identity", "identity", "citizen")
    assert (view.authority, view.topic) == ("public-security", "citizen.identity.v1")


def test_topic_ends_in_the_major_version() -> None:
    """A new major version is a new topic."""
    assert a_view(major=2).topic == "citizen.identity.v2"


def test_subscription_carries_department_and_view(topology: Topology) -> None:
    """A subscription knows whose it is and to what, and the defaults for what it does not say."""
    terms = topology.view("citizen.identity").subscriptions["social-security"]

    assert (terms.department, terms.view) == ("social-security", "citizen.identity")
    assert (terms.repair_cap, terms.longest_lag_hours) == (1000, 168)


def test_views_of_a_department_are_found_from_both_sides(topology: Topology) -> None:
    """What a department publishes and what it subscribes to are kept apart."""
    published = [view.name for view in topology.published_by("public-security")]
    subscribed = [terms.view for terms in topology.subscribed_by("public-security")]

    assert published == ["citizen.identity", "citizen.residence"]
    assert subscribed == ["marriage.status"]
    assert topology.published_by("healthcare") == ()


@pytest.mark.parametrize(
    "name", ["citizen.identty", "citizen", "citizen.", "", "tenant.identity", "citizen.identity.v1"]
)
def test_unknown_view_is_refused_with_the_names_there_are(topology: Topology, name: str) -> None:
    """Asking for a view that is not there is a configuration error that names a view that is."""
    with pytest.raises(ConfigurationError, match=r"citizen\.identity"):
        topology.view(name)


def test_unknown_record_type_and_department_are_refused(topology: Topology) -> None:
    """Asking for a record type or department that is not there suggests the one that was meant."""
    with pytest.raises(ConfigurationError, match="did you mean marriage"):
        topology.record_type("mariage")
    with pytest.raises(ConfigurationError, match="did you mean healthcare"):
        topology.department("health-care")
    assert topology.record_type("marriage").authority == "civil-affairs"
    assert topology.department("healthcare").name == "healthcare"


@pytest.mark.parametrize(
    "changes",
    [
        {"major": 0},
        {"major": True},
        {"major": "1"},
        {"partitions": 0},
        {"partitions": 1001},
        {"buckets": 8},
        {"buckets": 131072},
        {"fields": []},
        {"fields": ["Id"]},
        {"fields": ["id-number"]},
        {"fields": ["id__number"]},
        {"authority": "public_security"},
        {"authority": "Public-Security"},
        {"note": "x"},
    ],
)
def test_view_refuses_what_is_out_of_bounds(changes: dict[str, object]) -> None:
    """Numbers are bounded and never converted, names follow their pattern, and unknown keys are refused."""
    with pytest.raises(ValidationError):
        a_view(**changes)


def test_models_are_frozen(topology: Topology) -> None:
    """A loaded contract cannot be changed by the services that read it."""
    with pytest.raises(ValidationError):
        topology.view("citizen.identity").major = 9
