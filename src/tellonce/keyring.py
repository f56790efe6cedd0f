"""The secret keys of views: files of one folder, each readable by its owner only.

A view has a digest key, held by its authority and its subscribers, and a pseudonym key, fixed for the topic's life.
The reconciler and the console hold none.
"""

import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from tellonce.model.errors import ConfigurationError

__all__ = ["ViewKeys", "load_view_keys", "new_view_keys"]

_KEY_BYTES = 32
_LINE = re.compile(r"^(digest|pseudonym): ([0-9a-f]{64})$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewKeys:
    """The two secret keys of one view, 32 bytes each; never shown by `repr`."""

    view: str
    digest: bytes = field(repr=False)
    pseudonym: bytes = field(repr=False)


def _path(folder: Path, view: str) -> Path:
    return folder / f"{view}.key"


def new_view_keys(folder: Path, view: str) -> Path:
    """Makes a view's key file, readable by its owner only, and gives its path.

    Raises:
        ConfigurationError: the file is there already; a new digest key begins a new epoch, so it is never replaced.
    """
    path = _path(folder, view)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError as error:
        msg = f"{path} is there already; keep it, or move it away and begin a new epoch with `tellonce resync`"
        raise ConfigurationError(msg, view=view) from error
    path.write_text(f"digest: {secrets.token_hex(_KEY_BYTES)}\npseudonym: {secrets.token_hex(_KEY_BYTES)}\n")
    return path


def load_view_keys(folder: Path, view: str) -> ViewKeys:
    """Gives the keys of one view.

    Raises:
        ConfigurationError: the file is missing, readable by others, or not a key file.
    """
    path = _path(folder, view)
    try:
        text = path.read_text()
        mode = path.stat().st_mode & 0o077
    except (OSError, UnicodeDecodeError) as error:
        msg = (
            f"expected the keys of view {view} in {path}, found no readable file; "
            f"make them with `tellonce keys new {view}` at the authority, and hand the file to each subscriber"
        )
        raise ConfigurationError(msg, view=view) from error
    if mode:
        msg = f"{path} may be read by others; expected mode 0600: chmod 600 {path}"
        raise ConfigurationError(msg, view=view)
    lines = [_LINE.match(line) for line in text.splitlines() if line]
    found = {match[1]: bytes.fromhex(match[2]) for match in lines if match}
    if None in lines or set(found) != {"digest", "pseudonym"}:
        msg = f"{path} is not a key file: expected the lines `digest: …` and `pseudonym: …` of 64 hexadecimal digits"
        raise ConfigurationError(msg, view=view)
    return ViewKeys(view=view, digest=found["digest"], pseudonym=found["pseudonym"])
