"""Sources: from the authority's row to the record's key and fields."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellonce import Column, Former, Source, codes, text
from tellonce.avro.fields import FieldSpec, Kind
from tellonce.declare import Raw, Undecodable, record_key_of
from tellonce.model.errors import ConfigurationError

SPECS = (
    FieldSpec("id_number", Kind.TEXT),
    FieldSpec("sex", Kind.TEXT, symbols=("male", "female")),
    FieldSpec("birth_date", Kind.DATE, nullable=True),
    FieldSpec("former_id_numbers", Kind.TEXT_LIST, match_only=True),
)


def citizen(**changes: Any) -> Source:
    """Give a correct source of residents, with the entries a test wants otherwise."""
    form: dict[str, Any] = {
        "record_type": "citizen",
        "table": "resident",
        "key": "resident_id",
        "columns": {
            "id_number": Column("gmsfhm", text(upper=True)),
            "sex": Column("xb", codes({"1": "male", "2": "female"})),
            "birth_date": "csrq",
        },
        "former": {"former_id_numbers": Former("id_history", "resident_id", "id_number", order_by="changed_on")},
    }
    return Source(**{**form, **changes})


def row(**changes: Raw) -> dict[str, Raw]:
    """Give a resident's row by column, with the columns a test wants otherwise."""
    return {"resident_id": 7, "gmsfhm": "11010519491231002x", "xb": "2", "csrq": "1949-12-31", **changes}


def test_a_row_becomes_the_records_fields() -> None:
    """Each field is decoded from its column, in the order asked for, and lists come from the history table."""
    fields = citizen().fields_of(row(), SPECS, {"former_id_numbers": ["110105491231002", None, "110105491231002"]})

    assert fields == {
        "id_number": "11010519491231002X",
        "sex": "female",
        "birth_date": date(1949, 12, 31),
        "former_id_numbers": ("110105491231002",),
    }
    assert list(fields) == [spec.name for spec in SPECS]


def test_only_the_fields_asked_for_are_decoded() -> None:
    """A row whose unshared column is broken can still be published in views without it."""
    fields = citizen().fields_of(row(xb="?"), SPECS[:1])

    assert set(fields) == {"id_number"}


def test_a_record_without_history_has_an_empty_list() -> None:
    """Most people never had another number."""
    assert citizen().fields_of(row(), SPECS)["former_id_numbers"] == ()


def test_an_undecodable_column_is_named_without_its_value() -> None:
    """The parked row says where to look, and nothing of what stands there."""
    with pytest.raises(Undecodable, match=r"column xb \(field sex\)") as caught:
        citizen().fields_of(row(xb="weiblich"), SPECS)

    assert "weiblich" not in str(caught.value)
    assert caught.value.facts == {"column": "xb", "field": "sex"}


def test_a_row_without_a_declared_column_is_refused() -> None:
    """A column that capture does not deliver must not pass for a null."""
    broken = row()
    del broken["csrq"]

    with pytest.raises(Undecodable, match=r"no column csrq \(field birth_date\)"):
        citizen().fields_of(broken, SPECS)


def test_a_field_without_column_is_refused() -> None:
    """A source that lags behind its schema stops before it publishes anything."""
    with pytest.raises(ConfigurationError, match="no column for the field address"):
        citizen().fields_of(row(), [FieldSpec("address", Kind.TEXT)])


@pytest.mark.parametrize(("raw", "key"), [(7, "7"), ("A-7", "A-7"), (Decimal("7.0"), "7"), ("a/b%", "a/b%")])
def test_record_key_is_the_key_columns_text(raw: Raw, key: str) -> None:
    """The key is the same whether it comes from the table or from the outbox's JSON."""
    assert citizen().record_key(row(resident_id=raw)) == key


@pytest.mark.parametrize("raw", [None, "", "7 ", "a\0", 7.0, True, b"7", date(2024, 1, 1), Decimal("7.5")])
def test_what_cannot_name_a_record_is_refused(raw: Raw) -> None:
    """A key that is absent, or that two paths would write differently, would make two records of one."""
    with pytest.raises(Undecodable, match="record key"):
        citizen().record_key(row(resident_id=raw))


def test_a_row_without_its_key_column_is_refused() -> None:
    """A row that does not say whose it is cannot be published."""
    with pytest.raises(Undecodable, match="no column resident_id"):
        citizen().record_key({"gmsfhm": "1"})


@given(
    st.lists(
        st.tuples(st.text("a%/2F5", min_size=1), st.text("a%/2F5", min_size=1)), min_size=2, max_size=2, unique=True
    )
)
def test_different_composite_keys_are_joined_differently(keys: list[tuple[str, str]]) -> None:
    """A separator inside a value must not make two records one."""
    assert record_key_of(keys[0]) != record_key_of(keys[1])


def test_composite_key_as_sql_writes_it() -> None:
    """The documented SQL expression and this function agree, because triggers write the key too."""
    source = citizen(key=("region", "number"), former={})

    assert source.record_key({"region": "a/b%", "number": 7}) == "a%2Fb%25/7"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": ()}, "at least one column as the record key"),
        ({"columns": {}}, "expected columns= to name a column"),
        ({"table": ""}, "expected the table to be a name"),
        ({"record_type": None}, "expected the record type to be a name"),
        ({"former": {"sex": Former("h", "k", "c")}}, "stands in both columns= and former="),
        ({"key": ("a", "b")}, "has 1 key columns, the record key has 2"),
    ],
)
def test_a_mistake_is_refused_in_one_sentence_with_its_place(changes: dict[str, Any], message: str) -> None:
    """A form that contradicts itself is refused when it is read."""
    with pytest.raises(ConfigurationError) as caught:
        citizen(**changes)

    assert str(caught.value).startswith(f"{__file__}:")
    assert message in str(caught.value)


def test_former_values_go_through_their_codec() -> None:
    """A history table has its own layout, padded or in lower case, and gives shared values all the same."""
    history = Former("id_history", "resident_id", "id_number", codec=text(padded=True))

    assert history.values_of(["110105491231002   ", ""]) == ("110105491231002",)
