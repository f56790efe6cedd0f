"""Whatever the text, loading gives a topology or a configuration error."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tellonce.model.errors import ConfigurationError
from tellonce.topology import acls_of, parse_topology, to_mermaid, to_text

EXAMPLE = (Path(__file__).parent / "example.yaml").read_text(encoding="utf-8")
LINES = EXAMPLE.splitlines(keepends=True)

# What YAML, pydantic or the lint might stumble over, where random characters would rarely hit.
SNIPPETS = st.sampled_from(
    [
        *(
            "\t",
            "\0",
            "\ufeff",
            "\u2028",
            "\x85",
            "\r",
            "\ud800",
            '"\\ud800"',
            '"\\U00110000"',
            '"\\x',
            "%YAML 1.1\n---\n",
        ),
        *(
            "&a ",
            "*a",
            "!!int ",
            "!<",
            "? ",
            "- ",
            ": ",
            "<<: ",
            "{",
            "}",
            "[",
            "]",
            "|9\n",
            ">-\n",
            "'",
            '"',
            "#",
            "---\n",
        ),
        *("null", "true", "0x10", "1e999", "-1", "9" * 5000, ".nan", "2024-01-01", "~", "", "[key]", "city", "views"),
        *(
            "  views: {}\n",
            "sharing: conditional",
            "a" * 250,
            "a_b",
            "-",
            "tellonce",
            "operator: ",
            "[[[[[[[[[[[[[[[[[[",
        ),
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """The example with up to six cuts, insertions, moved lines and changed indentations."""
    text = EXAMPLE
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        match draw(st.integers(0, 4)):
            case 0:
                text = text[:start] + text[end:]
            case 1:
                text = text[:start] + draw(SNIPPETS) + text[start:]
            case 2:
                text = text[:start] + draw(SNIPPETS) + text[end:]
            case 3:
                text = text[:start] + draw(st.sampled_from(LINES)) + text[start:]
            case _:
                text = text[:start] + draw(st.text(max_size=3)) + text[end:]
    return text


@settings(max_examples=4 * settings().max_examples, deadline=None)
@given(mutated())
def test_mutated_topology_loads_or_is_refused(text: str) -> None:
    """A damaged text is a usable topology or one error that begins with file, line and column, and nothing else."""
    try:
        topology = parse_topology(text).topology
    except ConfigurationError as error:
        first = str(error).splitlines()[0].split(":", 3)
        assert (first[0], first[1].isdigit(), first[2].isdigit()) == ("topology.yaml", True, True)
        str(error).encode()
    else:
        assert acls_of(topology)
        assert to_mermaid(topology).encode()
        assert to_text(topology).encode()


@settings(max_examples=2 * settings().max_examples, deadline=None)
@given(st.text(st.characters(codec=None), max_size=60))
def test_any_text_is_refused(text: str) -> None:
    """Text of a few random characters is never a topology, and refused like any other."""
    try:
        parse_topology(text)
    except ConfigurationError as error:
        str(error).encode()
    else:
        raise AssertionError
