"""topology.yaml to a topology, or one error that says where and how to put it right."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tellonce.model.errors import ConfigurationError
from tellonce.topology import check_topology, load_topology, parse_topology

Edit = Callable[[str, str], str]
MarkedEdit = Callable[[str, str], tuple[str, str]]


def refusal_of(text: str) -> ConfigurationError:
    """The error with which this text is refused."""
    with pytest.raises(ConfigurationError) as caught:
        parse_topology(text)
    return caught.value


def test_example_loads_without_a_warning(example_path: Path) -> None:
    """The documented example is correct in every respect and holds the five departments and two record types."""
    checked = check_topology(example_path)

    assert checked.warnings == ()
    assert len(checked.topology.departments) == 5
    assert set(checked.topology.record_types) == {"citizen", "marriage"}


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("purpose:", "‸pupose:", ["'pupose'", "did you mean purpose?", "[TO010]"]),
        ("city: Example City", "city: x\n‸notes: x", ["found the key 'notes'", "remove it"]),
        (
            "marriage:\n    authority: civil-affairs",
            "‸marriage:",
            ["a record type to have the key authority", "[TO011]"],
        ),
        ("authority: civil-affairs", "authority: ‸[civil-affairs]", ["expected text, found a list"]),
        ("partitions: 4", "partitions: ‸'4'", ["expected a whole number, found text"]),
        ("partitions: 4", "partitions: ‸true", ["expected a whole number, found true"]),
        ("partitions: 4", "partitions: ‸4.0", ["expected a whole number, found a number", "point"]),
        ("partitions: 4", "partitions: ‸0", ["at least 1, found 0; raise it"]),
        ("partitions: 4", f"partitions: ‸1{'0' * 300}", ["at most 1000, found one of 301 digits"]),
        ("partitions: 4", f"partitions: ‸1{'0' * 9000}", ["expected a whole number"]),
        ("on_divergence: repair", "on_divergence: ‸repare", ["repair or flag", "did you mean repair?"]),
        ("sharing: conditional", "sharing: ‸1", ["found a number; write one of these words"]),
        ("city: Example City", "city: ‸''", ["expected text, found an empty one"]),
        ("city: Example City", "city: ‸' '", ["expected text, found an empty one"]),
        ("city: Example City\n", "‸city:\n", ["expected text, found nothing"]),
        ("city: Example City", f"city: ‸{'x' * 2001}", ["at most 2000 characters, found 2001"]),
        ("city: Example City", 'city: ‸"a\\0b"', ["text without control characters"]),
        ("city: Example City", 'city: ‸"\\ud800"', ["Unicode text, found half of a surrogate pair"]),
        ("sex: {sharing", "‸Sex: {sharing", ["lower-case", "'Sex'"]),
        ("sex: {sharing", '‸"\\ud800": {sharing', ["surrogate"]),
        ("healthcare: {", "‸Healthcare: {", ["a department's slug", "'Healthcare'"]),
        ("name: {sharing: unconditional}", "name: ‸unconditional", ["a field with its keys", "at least sharing"]),
        ("[id_number, address]", "‸id_number", ["expected a list of names, found text"]),
        ("[id_number, address]", "‸[]", ["at least 1 entry, found none"]),
        ("[id_number, address]", "[id_number, ‸Address]", ["lower-case letters", "'Address'"]),
    ],
)
def test_wrong_shape_names_place_expectation_and_fix(marked: MarkedEdit, old: str, new: str, parts: list[str]) -> None:
    """A wrong value is reported where it stands, with what was expected, what was found, and what to do."""
    text, place = marked(old, new)

    error = refusal_of(text)

    assert str(error).startswith(f"topology.yaml:{place}: expected ")
    assert all(part in str(error) for part in parts), str(error)
    assert f"{error.facts['line']}:{error.facts['column']}" == place
    assert error.facts["findings"] == 1


def test_misspelt_key_is_not_also_reported_as_missing(edited: Edit) -> None:
    """One mistake is one finding: the misspelling, not also the key that it leaves missing."""
    error = refusal_of(edited("basis:", "bassis:"))

    assert error.facts["findings"] == 1


def test_every_finding_is_listed_in_file_order(edited: Edit) -> None:
    """One error lists everything to be put right, so that nobody mends a file one mistake at a time."""
    text = (
        edited("city: Example City", "notes: x\ncity: 7")
        .replace("major: 1", "major: x")
        .replace("buckets: 256", "buckets: 1")
    )

    lines = str(refusal_of(text)).splitlines()

    assert len(lines) == 7
    assert [int(line.split(":")[1]) for line in lines] == sorted(int(line.split(":")[1]) for line in lines)


def test_list_of_findings_is_cut_where_nobody_reads_on() -> None:
    """A file that breaks a rule thousands of times gives a hundred lines and a count."""
    many = "".join(f"key{number}: 1\n" for number in range(5000))

    error = refusal_of(f"city: x\n{many}")

    assert len(str(error).splitlines()) == 101
    assert str(error).endswith("and 4902 more")


@pytest.mark.parametrize(
    ("text", "start", "part"),
    [
        ("", "1:1", "found nothing"),
        ("# only a comment\n", "1:1", "found nothing"),
        ("null", "1:1", "found nothing"),
        ("just words", "1:1", "a topology with its keys, found text"),
        ("- a\n- b\n", "1:1", "a topology with its keys, found a list"),
        ("secret: hunter2\n", "1:1", "found a mapping without any of its keys"),
        ("city: a: b", "1:8", "valid YAML"),
        ("city: [x", "1:9", "',' or ']' to make it valid YAML, found the end of the file"),
        ("city: x\n\tdepartments: {}\n", "2:1", "never with tabs"),
        ("city: x\x00y", "1:8", "the character U+0000; remove it"),
        ("city: x\ny: \x1b", "2:4", "the character U+001B; remove it"),
        ("city: x\n---\ncity: y", "2:1", "one document, found a second one"),
        ("%YAML 1.1\n---\ncity: x", "2:1", "YAML 1.2, found another version"),
        ('city: "\\U00110000"', "1:1", "cannot read (ValueError)"),
        ("[" * 400_000, "1:17", "at most 16 levels of nesting"),
        ("{a: " * 100_000, "1:65", "at most 16 levels of nesting"),
        ("- " * 400_000, "1:33", "at most 16 levels of nesting"),
        ("city: x\ncity: y", "2:1", "each key once, found this one again (first at line 1, column 1)"),
        ("city: {a: 1, a: {b: 2}}", "1:14", "each key once"),
        ("null: x", "1:1", "a name as key, found null"),
        ("12: x", "1:1", "a name as key, found 12"),
        ("? [a]\n: x", "1:3", "a name as key, found something else"),
        ("city: &x y", "1:7", "an anchor (&); write the value itself"),
        ("city: *x", "1:7", "an alias (*); write the value itself"),
        ("city: !!python/object:os.system y", "1:7", "a tag (!); write the value itself"),
    ],
)
def test_text_that_is_no_topology_is_one_clear_error(text: str, start: str, part: str) -> None:
    """Whatever the text is, its first fault is placed and explained, and no parser's exception comes through."""
    error = refusal_of(text)

    assert str(error).startswith(f"topology.yaml:{start}: expected ")
    assert part in str(error)


def test_aliases_of_aliases_are_never_expanded() -> None:
    """A "billion laughs" text is refused at its anchors, without building what it would expand to."""
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]

    error = refusal_of("\n".join(lines))

    assert "[TO004]" in str(error)


def test_contents_of_another_file_are_not_repeated() -> None:
    """A file named by mistake, such as one of secrets, leaves none of its contents in the message."""
    assert "hunter2" not in str(refusal_of("password: hunter2\nhunter2: y\n"))


def test_a_wrong_contact_is_not_repeated(edited: Edit) -> None:
    """A contact may be a telephone number, so a message says what kind of value it is and not which."""
    assert "5551234" not in str(refusal_of(edited("contact: population office", "contact: 5551234")))


@pytest.mark.parametrize("mark", ["\ufeff", ""])
def test_byte_order_mark_and_windows_line_ends_are_accepted(example_path: Path, tmp_path: Path, mark: str) -> None:
    """A file saved by a Windows editor means the same."""
    path = tmp_path / "topology.yaml"
    path.write_bytes((mark + example_path.read_text(encoding="utf-8").replace("\n", "\r\n")).encode())

    assert load_topology(path) == load_topology(example_path)


def test_words_like_yes_and_off_are_text(edited: Edit) -> None:
    """YAML 1.2 is spoken, in which a department may be titled Off."""
    topology = parse_topology(edited("title: Civil Affairs Bureau", "title: off")).topology

    assert topology.departments["civil-affairs"].title == "off"


@pytest.mark.parametrize(
    ("content", "start", "part"),
    [
        ("city: 北京\n".encode("gb18030"), "1:7", "UTF-8 text, found the byte 0xB1; save the file as UTF-8"),
        ("city: x\nabc: 北京\n".encode() + b"\xff", "3:1", "found the byte 0xFF"),
        ("city: x".encode("utf-16"), "1:1", "found the byte 0xFF"),
        (b"#" * 1_000_001, "1:1", "at most 1000000 bytes, found more"),
    ],
)
def test_file_that_is_not_text_is_refused(tmp_path: Path, content: bytes, start: str, part: str) -> None:
    """A file in another encoding, or too large to be a topology, is refused with the place and a fix."""
    path = tmp_path / "topology.yaml"
    path.write_bytes(content)

    with pytest.raises(ConfigurationError) as caught:
        load_topology(path)

    assert str(caught.value).startswith(f"{path}:{start}: expected ")
    assert part in str(caught.value)


def test_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    """A missing file, a directory and an impossible path are configuration errors that say what to check."""
    for path, part in (
        (tmp_path / "absent.yaml", "expected a file, found none; check the path"),
        (tmp_path, "expected a file, found a directory"),
        (Path("a\0b"), "a path no file can have"),
        (tmp_path / ("y" * 300), "expected a file that can be read, found File name too long"),
    ):
        with pytest.raises(ConfigurationError, match=part):
            load_topology(path)
