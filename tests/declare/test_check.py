"""The offline check of declarations against the contract."""

from typing import Any

import pytest
from ruamel.yaml import YAML

from tellonce import (
    Binding,
    Column,
    Former,
    Source,
    candidate,
    codes,
    current,
    from_15_digits,
    mirror,
    previous,
    text,
    yyyymmdd,
)
from tellonce.avro.fields import FieldSpec, Kind, ViewSchema
from tellonce.declare.check import check_binding, check_source, refuse
from tellonce.model.errors import ConfigurationError
from tellonce.topology.model import FieldSharing, Subscription, View, ViewForm

FIELDS = (
    FieldSpec("birth_date", Kind.DATE, nullable=True),
    FieldSpec("former_id_numbers", Kind.TEXT_LIST, match_only=True),
    FieldSpec("id_number", Kind.TEXT),
    FieldSpec("name", Kind.TEXT),
    FieldSpec("sex", Kind.TEXT, symbols=("male", "female")),
)
SCHEMA = ViewSchema("citizen.identity", 1, FIELDS)
VIEW = View(
    name="citizen.identity",
    record_type="citizen",
    authority="public-security",
    fields=("birth_date", "id_number", "name", "sex"),
    match_only=("former_id_numbers",),
    major=1,
    partitions=4,
    buckets=64,
    subscriptions={
        "provident-fund": Subscription(
            department="provident-fund",
            view="citizen.identity",
            basis="Housing Fund Rules: article 5",
            purpose="keep accounts",
            freshness_seconds=60,
            on_divergence="repair",
        )
    },
)
COLUMNS: dict[str, str | Column] = {
    "birth_date": Column("csrq", yyyymmdd),
    "id_number": "gmsfhm",
    "name": "xm",
    "sex": Column("xb", codes({"1": "male", "2": "female"})),
}


def fund(
    *, without: str = "", columns: dict[str, str | Column] | None = None, match: list[Any] | None = None
) -> Binding:
    """Give a binding that passes, with the entries a test wants otherwise."""
    bound = {**COLUMNS, **(columns or {})}
    bound.pop(without, None)
    rules: list[Any] = [current("id_number"), previous("id_number"), candidate("id_number", from_15_digits)]
    return Binding(
        view="citizen.identity",
        table="fund_account",
        match=rules if match is None else match,
        columns=bound,
        scope=mirror(),
        on_delete="keep",
    )


def messages(binding: Binding, department: str | None = None) -> list[str]:
    """Give the findings on a binding as texts."""
    return [finding.message for finding in check_binding(binding, SCHEMA, VIEW, department=department)]


def test_a_fitting_binding_has_no_findings() -> None:
    """A correct form passes in silence."""
    assert messages(fund()) == []


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        (fund(columns={"nmae": "c"}), "binds nmae, which citizen.identity does not have; did you mean name?"),
        (fund(columns={"height": "c"}), "binds height, which citizen.identity does not have; leave it out"),
        (
            fund(columns={"former_id_numbers": "c"}),
            "binds former_id_numbers, which citizen.identity gives for matching only",
        ),
        (fund(columns={"birth_date": Column("c", text())}), "column c holds text, but the field birth_date is date"),
        (fund(columns={"sex": Column("c", codes({"1": "male"}))}), "column c has no code for female of the field sex"),
        (
            fund(columns={"sex": Column("c", codes({"1": "male", "2": "female", "3": "femal"}))}),
            "column c has femal, which the field sex never is",
        ),
        (fund(match=[current("birth_date")]), "reads birth_date as text, but it is date"),
        (
            fund(match=[previous("id_numbers", of="id_number")]),
            "reads id_numbers, which citizen.identity does not have",
        ),
        (fund(match=[previous("name", of="id_number")]), "reads name as text_list, but it is text"),
        (
            fund(match=[previous("former_id_numbers", of="birth_date")]),
            "the column of birth_date, which is date and not text",
        ),
    ],
)
def test_a_binding_that_does_not_fit_is_found(binding: Binding, message: str) -> None:
    """Each misfit is one finding that says what to change."""
    found = messages(binding)

    assert len(found) >= 1
    assert any(message in each for each in found)


def test_all_findings_come_at_once() -> None:
    """A person mends a form in one go."""
    assert len(messages(fund(columns={"height": "c", "birth_date": "d"}, without="sex"))) == 2


def test_a_field_not_held_is_refused_with_a_narrower_view() -> None:
    """Whoever does not hold a field has no business receiving it; the view to declare is printed, ready to paste."""
    (found,) = messages(fund(without="sex", match=[current("id_number")]), "provident-fund")

    reason, _, yaml = found.partition("\n")
    written = YAML(typ="safe").load(yaml)
    name, form = next(iter(written["record_types"]["citizen"]["views"].items()))
    narrower = ViewForm.model_validate(form)

    assert "no column is bound to sex of citizen.identity" in reason
    assert name == "identity_provident_fund"
    assert narrower.fields == ("birth_date", "id_number", "name")
    assert narrower.match_only == ()
    assert narrower.subscriptions["provident-fund"].basis == "Housing Fund Rules: article 5"


def test_the_narrower_view_keeps_the_lists_that_are_matched_on() -> None:
    """A department that finds rows by former numbers goes on receiving them."""
    (found,) = messages(fund(without="sex"))

    assert "match_only: [former_id_numbers]" in found


def test_a_binding_checked_against_another_view_is_found() -> None:
    """A mix-up of views is named before its hundred consequences."""
    other = VIEW.model_copy(update={"name": "citizen.address"})

    assert "checked against citizen.address" in check_binding(fund(), SCHEMA, other)[0].message


def citizen(**changes: Any) -> Source:
    """Give a source that passes, with the entries a test wants otherwise."""
    form: dict[str, Any] = {
        "record_type": "citizen",
        "table": "resident",
        "key": "resident_id",
        "columns": COLUMNS,
        "former": {"former_id_numbers": Former("id_history", "resident_id", "id_number")},
    }
    return Source(**{**form, **changes})


def test_a_fitting_source_has_no_findings() -> None:
    """A correct form passes in silence."""
    assert check_source(citizen(), FIELDS, {}) == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"former": {}}, "no column is mapped to former_id_numbers of citizen"),
        (
            {"columns": {"former_id_numbers": "c"}, "former": {}},
            "former_id_numbers is a list and no single column gives it",
        ),
        ({"columns": {**COLUMNS, "height": "c"}}, "maps height, which citizen does not have; leave it out"),
        ({"former": {"former_numbers": Former("h", "k", "c")}}, "fills former_numbers, which citizen does not have"),
        ({"columns": {"id_number": "c"}, "former": {"name": Former("h", "k", "c")}}, "lists of text, but name is text"),
        (
            {"former": {"former_id_numbers": Former("h", "k", "c", codec=yyyymmdd)}},
            "former_id_numbers lists texts, but its history column's codec gives date",
        ),
        ({"columns": {**COLUMNS, "sex": Column("c", yyyymmdd)}}, "column c holds date, but the field sex is text"),
    ],
)
def test_a_source_that_does_not_fit_is_found(changes: dict[str, Any], message: str) -> None:
    """Each misfit of the authority's form is one finding too."""
    assert any(message in finding.message for finding in check_source(citizen(**changes), FIELDS, {}))


def sharing(**classes: str) -> dict[str, FieldSharing]:
    """Fields with their classes."""
    return {
        name: FieldSharing.model_validate({"sharing": each, "condition": "a duty" if each == "conditional" else None})
        for name, each in classes.items()
    }


def test_a_key_that_only_some_may_know_is_refused() -> None:
    """Every subscriber sees the key's pseudonym, and could try all values of a field that it may not receive."""
    source = citizen(key="card", columns={**COLUMNS, "id_number": "card"})

    assert check_source(source, FIELDS, sharing(id_number="unconditional")) == ()
    (finding,) = check_source(source, FIELDS, sharing(id_number="conditional"))

    assert "found column card, whose field id_number is conditional" in finding.message


def test_refusing_lists_every_finding_with_its_place() -> None:
    """The error is one text, a line for each finding, each with file and line."""
    source = citizen(former={}, columns={"height": "c"})

    with pytest.raises(ConfigurationError) as caught:
        refuse(check_source(source, FIELDS, {}))

    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{source.place}: ") for line in lines)


def test_refusing_nothing_does_nothing() -> None:
    """A declaration without findings is used."""
    refuse(())
