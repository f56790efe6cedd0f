"""Loading a department's own file, and the one sentence that a broken one gives."""

import sys
from pathlib import Path

import pytest

from tellonce.declare import load_bindings, load_source
from tellonce.model.errors import ConfigurationError

BINDING = """
{name} = Binding(
    view="{view}",
    table="fund_account",
    match=[current("id_number")],
    columns={{"id_number": "gmsfhm"}},
    scope=mirror(),
    on_delete="keep",
)
"""
IMPORTS = "from tellonce import Binding, Source, current, mirror, text\n"


def binding(view: str = "citizen.identity", name: str = "fund") -> str:
    """Give the text of one binding."""
    return BINDING.format(view=view, name=name)


def consumers(folder: Path, *declarations: str, imports: str = IMPORTS) -> Path:
    """Write the provident fund's file and give its folder."""
    (folder / "provident_fund.py").write_text(imports + "".join(declarations), encoding="utf-8")
    return folder


def test_a_departments_bindings_are_found(tmp_path: Path) -> None:
    """The file is named by the department's slug with underscores; every binding at its top level counts, in order."""
    folder = consumers(tmp_path, binding(), binding("marriage.status", "marriages"))

    found = load_bindings(folder, "provident-fund", subscribed={"citizen.identity", "marriage.status"})

    assert [each.view for each in found] == ["citizen.identity", "marriage.status"]
    assert found[0].place == f"{folder / 'provident_fund.py'}:3"


def test_one_binding_under_two_names_is_one(tmp_path: Path) -> None:
    """A second name for the same form is no second form."""
    assert len(load_bindings(consumers(tmp_path, binding(), "again = fund\n"), "provident-fund")) == 1


def test_a_departments_sources_are_found(tmp_path: Path) -> None:
    """Publishing departments declare sources in the same way."""
    text = 'citizen = Source(record_type="citizen", table="resident", key="id", columns={"name": "xm"})\n'
    (tmp_path / "public_security.py").write_text(IMPORTS + text, encoding="utf-8")

    assert [source.record_type for source in load_source(tmp_path, "public-security")] == ["citizen"]


@pytest.mark.parametrize(
    ("declarations", "message"),
    [
        (["x = (\n"], ":2:5: not valid Python: '(' was never closed"),
        (["x = 1 / 0\n"], ":2:5: ZeroDivisionError: division by zero"),
        (["import no_such_module\n"], ":2:1: ModuleNotFoundError: No module named 'no_such_module'"),
        (["x = Binding(view='a.b')\n"], ":2:5: TypeError: Binding is missing 5 required keyword-only arguments"),
        (["name = text(max_bytes=0)\n"], ":2:8: max_bytes must be at least 1, found 0"),
        (["def f():\n    raise KeyError('x')\n", "f()\n"], ":3:5: KeyError: 'x'"),
        ([binding().replace('"keep"', '"mark"')], ':3: on_delete="mark" needs mark='),
        (["raise SystemExit(3)\n"], ":2:1: SystemExit: 3"),
        (["x = 1\n"], ": expected at least one Binding(...) at the top level of the file, found none"),
        ([binding(), binding(name="second")], ":12: a second Binding for the view citizen.identity, the first is at "),
        (
            [binding("citizen.identify")],
            ":3: provident-fund does not subscribe to the view citizen.identify; did you mean",
        ),
        ([binding("policy.text")], ":3: provident-fund does not subscribe to the view policy.text; subscribe to it in"),
    ],
)
def test_a_broken_file_gives_one_sentence_with_its_place(tmp_path: Path, declarations: list[str], message: str) -> None:
    """A department's engineer sees file, line and what to do, and no traceback."""
    folder = consumers(tmp_path, *declarations)

    with pytest.raises(ConfigurationError) as caught:
        load_bindings(folder, "provident-fund", subscribed={"citizen.identity"})

    assert str(caught.value).startswith(f"{folder / 'provident_fund.py'}{message}")
    assert "\n" not in str(caught.value)


def test_a_subscription_without_binding_is_refused(tmp_path: Path) -> None:
    """Whoever receives a view must hold it."""
    with pytest.raises(ConfigurationError, match=r"subscribes to marriage\.status but declares no Binding"):
        load_bindings(
            consumers(tmp_path, binding()), "provident-fund", subscribed={"citizen.identity", "marriage.status"}
        )


def test_two_sources_for_one_record_type_are_refused(tmp_path: Path) -> None:
    """One table is the authority's word on a record type."""
    text = 'Source(record_type="citizen", table="resident", key="id", columns={"name": "xm"})\n'
    (tmp_path / "public_security.py").write_text(f"{IMPORTS}a = {text}b = {text}", encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r":3: a second Source for the record type citizen"):
        load_source(tmp_path, "public-security")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The message says where the file was expected."""
    with pytest.raises(ConfigurationError, match=r"declarations in .*social_security\.py, found no such file"):
        load_bindings(tmp_path, "social-security")


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """A file saved in GBK without saying so gives a sentence and no traceback."""
    (tmp_path / "provident_fund.py").write_bytes("# 住房公积金\n".encode("gbk"))

    with pytest.raises(ConfigurationError, match=r"provident_fund\.py"):
        load_bindings(tmp_path, "provident-fund")


def test_loading_leaves_no_trace(tmp_path: Path) -> None:
    """Departments' files do not see each other: no entry among the modules, on the path, or in their folder."""
    path = list(sys.path)
    folder = consumers(tmp_path, binding())

    load_bindings(folder, "provident-fund")

    assert not [name for name in sys.modules if "provident_fund" in name]
    assert sys.path == path
    assert [file.name for file in folder.iterdir()] == ["provident_fund.py"]


def test_an_edit_is_seen_at_once(tmp_path: Path) -> None:
    """An edit of the same length within one second must not be hidden by a compiled copy."""
    load_bindings(consumers(tmp_path, binding("citizen.first_")), "provident-fund")

    found = load_bindings(consumers(tmp_path, binding("citizen.second")), "provident-fund")

    assert found[0].view == "citizen.second"


def test_a_declaration_may_use_dataclasses(tmp_path: Path) -> None:
    """A department may write a codec of its own, which is a frozen dataclass with annotations as text."""
    own = """
from __future__ import annotations
from dataclasses import dataclass
@dataclass(frozen=True)
class Own:
    width: int
"""

    assert load_bindings(consumers(tmp_path, own, IMPORTS, binding(), imports=""), "provident-fund")
