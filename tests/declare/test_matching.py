"""Match rules: what each looks for in a department's table."""

from tellonce import candidate, current, from_15_digits, previous
from tellonce.declare import Derivation, Previous
from tellonce.declare.matching import resolve_previous
from tellonce.model.change import Fields


def test_current_looks_for_the_present_value() -> None:
    """The first thing to try is the number the authority gives today."""
    rule = current("id_number")

    assert (rule.identifier, rule.needs) == ("id_number", ("id_number",))
    assert rule.local_values({"id_number": "A1"}) == ("A1",)


def test_rules_look_for_nothing_where_there_is_no_value() -> None:
    """A record without a number must not be matched with every row that has none either."""
    nothing: list[Fields] = [{}, {"id_number": None, "former": None}, {"id_number": "", "former": ("",)}]

    for fields in nothing:
        assert current("id_number").local_values(fields) == ()
        assert previous("former", of="id_number").local_values(fields) == ()
        assert candidate("id_number", from_15_digits).local_values(fields) == ()


def test_previous_looks_for_former_values_in_the_identifiers_column() -> None:
    """Former values come from the match_only list and are compared with the column of the identifier."""
    rule = previous("former_id_numbers", of="id_number")

    assert (rule.identifier, rule.needs) == ("id_number", ("former_id_numbers",))
    assert rule.local_values({"former_id_numbers": ("B", "A", "B")}) == ("B", "A")


def test_candidate_looks_for_what_derives_to_the_present_value() -> None:
    """Rows are looked up by the local value, so that the department's index serves."""
    rule = candidate("id_number", from_15_digits)

    assert rule.local_values({"id_number": "11010519491231002X"}) == ("110105491231002",)


def test_candidate_gives_each_local_value_once() -> None:
    """A derivation with several local values, some twice, makes no row count twice."""
    twice = Derivation("twice", lambda local: local[0], lambda value: (value + "1", value + "2", value + "1"))

    assert candidate("id_number", twice).local_values({"id_number": "A"}) == ("A1", "A2")


def test_previous_may_name_either_end_of_the_pair() -> None:
    """By convention the former values of id_number are in former_id_numbers, so naming one names the other."""
    bound = frozenset({"id_number", "name"})
    expected = Previous("former_id_numbers", "id_number")

    assert resolve_previous(previous("id_number"), bound) == expected
    assert resolve_previous(previous("former_id_numbers"), bound) == expected
    assert resolve_previous(previous("earlier"), bound) == previous("earlier")
