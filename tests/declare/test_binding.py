"""Bindings: the form a department's engineer fills in, and the mistakes it refuses."""

from pathlib import Path
from typing import Any

import pytest

from tellonce import (
    Binding,
    Column,
    candidate,
    current,
    existing,
    from_15_digits,
    integer,
    mirror,
    previous,
    text,
    yyyymmdd,
)
from tellonce.avro.fields import FieldSpec, Kind
from tellonce.declare import CannotHold, Previous, Undecodable
from tellonce.model.errors import ConfigurationError


def fund(**changes: Any) -> Binding:
    """Give a correct binding of a fund, with the entries a test wants otherwise."""
    form: dict[str, Any] = {
        "view": "citizen.identity",
        "table": "fund_account",
        "match": [current("id_number"), previous("former_id_numbers"), candidate("id_number", from_15_digits)],
        "columns": {
            "id_number": "gmsfhm",
            "name": Column("xm", text(max_bytes=9), else_keep=True),
            "birth_date": Column("csrq", yyyymmdd),
        },
        "scope": existing(open="zhzt <> '9'"),
        "on_delete": "mark",
        "mark": {"zhzt": "9"},
    }
    return Binding(**{**form, **changes})


SPECS = (
    FieldSpec("birth_date", Kind.DATE, nullable=True),
    FieldSpec("former_id_numbers", Kind.TEXT_LIST, match_only=True),
    FieldSpec("id_number", Kind.TEXT),
    FieldSpec("name", Kind.TEXT),
)


def test_a_form_filled_in_gives_its_entries_back() -> None:
    """Bare column names become columns and lists become tuples, so that its readers meet one shape only."""
    binding = fund(key=["zhbh"])

    assert binding.columns["id_number"] == Column("gmsfhm")
    assert binding.columns["name"].else_keep
    assert binding.match[1] == Previous("former_id_numbers", "id_number")
    assert binding.key == ("zhbh",)
    assert binding.rows == "one"


def test_previous_falls_back_on_the_only_identifier() -> None:
    """Where names do not follow the convention, former values are those of the one identifier the other rules name."""
    binding = fund(match=[current("id_number"), previous("earlier_numbers")])

    assert binding.match[1] == Previous("earlier_numbers", "id_number")


def test_a_codec_may_be_named_without_parentheses() -> None:
    """`yyyymmdd` reads as well as `yyyymmdd()` and means the same."""
    assert Column("csrq", yyyymmdd) == Column("csrq", yyyymmdd())


def test_a_binding_knows_its_place() -> None:
    """Messages send the reader to the line where the form begins."""
    binding = Binding(
        view="citizen.identity",
        table="t",
        match=[current("id_number")],
        columns={"id_number": "c"},
        scope=mirror(),
        on_delete="keep",
    )

    file, line = binding.place.rsplit(":", 1)

    assert Path(file) == Path(__file__)
    assert "binding = Binding(" in Path(__file__).read_text(encoding="utf-8").splitlines()[int(line) - 1]


def test_a_binding_cannot_be_changed() -> None:
    """Its readers are threads of one process, and a checked form must stay as it was checked."""
    binding = fund()

    with pytest.raises(AttributeError):
        binding.table = "other"  # type: ignore[misc]  # the very assignment that must fail
    with pytest.raises(TypeError):
        binding.columns["name"] = Column("other")  # type: ignore[index]  # the very assignment that must fail


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"on_delete": "drop"}, 'expected on_delete to be "keep", "mark" or "delete", found \'drop\''),
        ({"mark": None}, 'on_delete="mark" needs mark='),
        ({"on_delete": "keep"}, 'mark= is only for on_delete="mark"'),
        ({"unmark": {"other": 1}}, "both name the same columns"),
        ({"match": []}, "at least one rule in match="),
        ({"match": [current("passport")]}, "searches the column of passport"),
        ({"match": [previous("earlier")]}, "does not say whose former values"),
        ({"match": [current("id_number"), current("id_number")]}, "states one rule twice"),
        ({"match": ["id_number"]}, "expected each entry of match= to be a rule"),
        ({"columns": {}}, "expected columns= to name a column"),
        ({"columns": {"id_number": "a", "name": Column("a")}}, "the column a is bound to both id_number and name"),
        ({"columns": {"id_number": ""}}, "expected a column to be a name"),
        ({"columns": {"id_number": 5}}, "expected a column to be a name"),
        ({"table": "a.b.c"}, "expected the table as table or schema.table"),
        ({"table": "a."}, "each part of the table's name"),
        ({"table": 'a"; drop table b; --'}, "without quotes"),
        ({"table": " a"}, "without blanks around it"),
        ({"key": []}, "expected at least one column as the key"),
        ({"key": ["a", "a"]}, "names a column twice"),
        ({"rows": "two"}, 'expected rows= to be "one" or "many"'),
        ({"scope": "mirror"}, "expected scope= to be mirror() or existing(...)"),
        ({"scope": existing}, "expected scope= to be mirror() or existing(...)"),
        ({"scope": mirror(), "rows": "many"}, "a mirror holds one row"),
        ({"defaults": {"a": 1}}, "never inserts"),
        ({"scope": mirror(), "defaults": {"xm": ""}}, "already holds a field"),
        ({"view": ""}, "expected the view to be a name"),
    ],
)
def test_a_mistake_is_refused_in_one_sentence_with_its_place(changes: dict[str, Any], message: str) -> None:
    """A form that contradicts itself is refused when it is read, not when the first change arrives."""
    with pytest.raises(ConfigurationError) as caught:
        fund(**changes)

    assert str(caught.value).startswith(f"{__file__}:")
    assert message in str(caught.value)


def test_an_empty_predicate_is_refused() -> None:
    """Empty SQL would be an error in the department's database at every sweep."""
    with pytest.raises(ConfigurationError, match="leave it out"):
        existing(open=" ")


def test_on_delete_has_no_default() -> None:
    """Only the department knows what becomes of its row, so leaving the entry out is an error."""
    with pytest.raises(TypeError, match="on_delete"):
        Binding(  # type: ignore[call-arg]  # the entry is left out on purpose
            view="citizen.identity",
            table="t",
            match=[current("id_number")],
            columns={"id_number": "c"},
            scope=mirror(),
        )


def test_columns_follow_the_views_fields_with_their_codecs() -> None:
    """Match_only fields have no column; a bare column takes the codec of its field's kind."""
    columns = fund().columns_for(SPECS)

    assert [(column.field, column.column) for column in columns] == [
        ("birth_date", "csrq"),
        ("id_number", "gmsfhm"),
        ("name", "xm"),
    ]
    assert columns[1].codec == text()
    assert [column.else_keep for column in columns] == [False, False, True]


def test_a_field_without_column_is_refused() -> None:
    """A binding that lags behind its view stops before it applies anything."""
    with pytest.raises(ConfigurationError, match="no column for the field sex"):
        fund().columns_for([FieldSpec("sex", Kind.TEXT)])


def test_errors_of_a_column_name_column_and_field_only() -> None:
    """A parked record says which column refused, so that a person finds it, and not what the value was."""
    birth, _, name = fund().columns_for(SPECS)

    with pytest.raises(CannotHold, match=r"column xm \(field name\): the column holds 9 bytes") as held:
        name.encode("欧阳子轩")
    with pytest.raises(Undecodable, match=r"column csrq \(field birth_date\)") as read:
        birth.decode("1949")

    assert held.value.facts == {"column": "xm", "field": "name"}
    assert read.value.facts == {"column": "csrq", "field": "birth_date"}


def test_a_value_the_column_cannot_hold_has_no_spelling() -> None:
    """No row can hold it, so a look-up finds none instead of failing."""
    _, _, name = fund().columns_for(SPECS)

    assert name.spellings("欧阳子轩") == ()
    assert name.spellings("王明") == ("王明",)


def test_a_declared_codec_wins_over_the_default() -> None:
    """The form's word stands, even where it does not fit; the offline check is what judges it."""
    assert Column("a", integer(0, 1)).codec_for(FieldSpec("a", Kind.INTEGER)) == integer(0, 1)
