"""Pictures of who feeds whom."""

from collections.abc import Callable
from pathlib import Path

from tellonce.topology import load_topology, parse_topology, to_mermaid, to_text

Edit = Callable[[str, str], str]


def test_mermaid_shows_each_flow_with_its_basis(example_path: Path) -> None:
    """Each view has one arrow from its authority, and one with the legal basis to each subscriber."""
    lines = to_mermaid(load_topology(example_path)).splitlines()

    assert lines[0] == "flowchart LR"
    assert '    d2["Civil Affairs Bureau"]' in lines
    assert '    v3(["marriage.status.v1"])' in lines
    assert "    d2 --> v3" in lines
    assert '    v3 -->|"Regulations on Household Registration, article 17"| d1' in lines
    assert len([line for line in lines if "-->" in line]) == 3 + 6


def test_mermaid_escapes_what_it_would_read_as_markup(edited: Edit) -> None:
    """A title or basis with quotes, brackets or a hash cannot break the picture or put markup into a page."""
    topology = parse_topology(edited("title: Civil Affairs Bureau", """title: 'Bureau "A" <b>#1</b> & `x`'""")).topology

    drawn = to_mermaid(topology)

    assert 'd2["Bureau #quot;A#quot; #lt;b#gt;#35;1#lt;/b#gt; #amp; #96;x#96;"]' in drawn


def test_mermaid_leaves_out_departments_that_take_no_part(edited: Edit) -> None:
    """Only departments that publish or subscribe are drawn."""
    text = edited("\nrecord_types:", "  archive: {title: City Archive, contact: reading room}\n\nrecord_types:")

    assert "City Archive" not in to_mermaid(parse_topology(text).topology)


def test_text_shows_views_and_terms(example_path: Path) -> None:
    """The text names each view's authority, topic and fields, and each subscription's terms."""
    shown = to_text(load_topology(example_path))

    assert shown.startswith(
        "Example City\n\ncitizen, from public-security\n  citizen.identity: topic citizen.identity.v1"
    )
    assert "    only for matching: former_id_numbers\n" in shown
    assert (
        "    to social-security within 60 s, on divergence repair\n"
        "      basis: Social Insurance Law, article 57\n"
        "      purpose: Keep insured persons' identity correct.\n"
    ) in shown


def test_text_keeps_each_term_on_one_line(edited: Edit) -> None:
    """A basis written over several lines is shown on one."""
    text = edited(
        "basis: Social Insurance Law, article 57", "basis: |\n              Social\n              Insurance Law"
    )

    assert "      basis: Social Insurance Law\n" in to_text(parse_topology(text).topology)


def test_text_says_when_a_view_goes_to_nobody(edited: Edit) -> None:
    """A view without subscriptions is shown as such."""
    view = "      short: {fields: [name], major: 1, partitions: 1, buckets: 16}\n\n  marriage:\n"

    shown = to_text(parse_topology(edited("\n  marriage:\n", view)).topology)

    assert "citizen.short: topic citizen.short.v1, partitions 1\n    fields: name\n    to nobody\n" in shown


def test_pictures_are_the_same_for_the_same_topology(example_path: Path) -> None:
    """A committed picture changes only with the topology."""
    first, second = load_topology(example_path), load_topology(example_path)

    assert (to_mermaid(first), to_text(first)) == (to_mermaid(second), to_text(second))
