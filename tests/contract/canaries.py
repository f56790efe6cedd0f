"""Values that occur nowhere by chance, and the search for them in whatever spelling they may be written."""

import json
import random
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from string import ascii_letters
from urllib.parse import quote

from stdnum.cn import ric

__all__ = ["Canaries", "Resident", "spellings"]

_FIRST_BIRTH = date(1600, 1, 1)
_BIRTH_DAYS = 36_000
_CHARSETS = ("utf-8", "gbk", "utf-16-le")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """A person who does not exist; every value is a canary."""

    key: int
    number: str
    short: str
    former: str
    name: str
    street: str
    born: date


@dataclass(frozen=True, slots=True)
class Canaries:
    """What was planted: `words` are sought in every spelling, `figures` only as they are, since they are short."""

    words: set[str | bytes] = field(default_factory=set[str | bytes])
    figures: set[str] = field(default_factory=set[str])

    def word(self, length: int = 12) -> str:
        """A text of so many letters and three Chinese characters, as a name or an address has them."""
        made = "金丝雀" + "".join(random.choices(ascii_letters, k=length))
        self.words.add(made)
        return made

    def octets(self) -> bytes:
        """Bytes that are no text in UTF-8."""
        made = b"\xff\xfe" + random.randbytes(14)
        self.words.add(made)
        return made

    def resident(self) -> Resident:
        """A person with values of their own."""
        registered = date(1920, 1, 1) + timedelta(days=random.randint(0, _BIRTH_DAYS // 2))
        short = f"110105{registered:%y%m%d}{random.randint(0, 999):03d}"
        body = f"{short[:6]}19{short[6:]}"
        number = body + str(ric.calc_check_digit(body + "0"))
        # Ten digits that stand in no instant of these centuries, which begin with 1.
        key = random.randint(2_000_000_000, 2**31 - 1)
        born = _FIRST_BIRTH + timedelta(days=random.randint(0, _BIRTH_DAYS))
        self.words.update((short, number, str(key), born.isoformat()))
        self.figures.update((born.strftime("%Y%m%d"), str((born - date(1970, 1, 1)).days)))
        return Resident(
            key=key, number=number, short=short, former=self.word(), name=self.word(), street=self.word(), born=born
        )

    def found_in(self, texts: Mapping[str, bytes]) -> dict[str, set[str]]:
        """What was found, by the name of the text that holds it."""
        patterns: dict[bytes, str] = {}
        for word in self.words:
            for name, pattern in spellings(word):
                patterns.setdefault(pattern, f"{word!r} as {name}")
        figures = re.compile(rb"(?<![0-9a-z])(%s)(?![0-9a-z])" % b"|".join(re.escape(f.encode()) for f in self.figures))
        found: dict[str, set[str]] = {}
        for name, text in texts.items():
            lower = text.lower()
            here = {said for pattern, said in patterns.items() if pattern in lower}
            if self.figures:
                here |= {match.decode() for match in figures.findall(lower)}
            if here:
                found[name] = here
        return found


def spellings(value: str | bytes) -> Iterator[tuple[str, bytes]]:
    """Every spelling of a value that is sought, with its name; in lower case, as the text must be that is searched."""
    encoded = {"bytes": value} if isinstance(value, bytes) else {name: value.encode(name) for name in _CHARSETS}
    for name, raw in encoded.items():
        yield name, raw.lower()
        yield f"{name} in hexadecimal", raw.hex().encode()
        yield f"{name} in a URL", quote(raw, safe="").lower().encode()
        yield f"{name} as Python shows it", repr(raw)[2:-1].lower().encode()
        for before in range(3):
            # Wherever it begins in what was encoded, these characters are made of its bits alone.
            whole = b64encode(bytes(before) + raw)[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6].lower()
            yield f"{name} in base64, {before} bytes on", whole
            yield f"{name} in URL-safe base64, {before} bytes on", whole.replace(b"+", b"-").replace(b"/", b"_")
    if isinstance(value, str):
        yield "JSON", json.dumps(value)[1:-1].lower().encode()
