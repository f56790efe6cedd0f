"""The secret keys of views, and of who signs statements: files of one folder, each readable by its owner only.

A view has a digest key, held by its authority and its subscribers, and a pseudonym key, fixed for the topic's life.
The reconciler and the console hold none.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tellonce.model.errors import ConfigurationError

__all__ = ["ViewKeys", "load_signing_key", "load_view_keys", "new_signing_key", "new_view_keys"]

_KEY_BYTES = 32
_LINE = re.compile(r"^(digest|pseudonym|signing): ([0-9a-f]{64})$")


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
    text = f"digest: {secrets.token_hex(_KEY_BYTES)}\npseudonym: {secrets.token_hex(_KEY_BYTES)}\n"
    _write(path, text, "keep it, or move it away and begin a new epoch with `tellonce resync`")
    return path


def _write(path: Path, text: str, otherwise: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError as error:
        msg = f"{path} is there already; {otherwise}"
        raise ConfigurationError(msg, file=str(path)) from error
    path.write_text(text)


def load_view_keys(folder: Path, view: str) -> ViewKeys:
    """Gives the keys of one view.

    Raises:
        ConfigurationError: the file is missing, readable by others, or not a key file.
    """
    remedy = f"make them with `tellonce keys new {view}` at the authority, and hand the file to each subscriber"
    found = _read(_path(folder, view), f"the keys of view {view}", ("digest", "pseudonym"), remedy)
    return ViewKeys(view=view, digest=found["digest"], pseudonym=found["pseudonym"])


def new_signing_key(folder: Path, principal: str) -> bytes:
    """Makes the secret key with which a principal signs, in a file readable by its owner only, and gives it.

    Raises:
        ConfigurationError: the file is there already.
    """
    secret = secrets.token_bytes(_KEY_BYTES)
    otherwise = "keep it; to replace it, move it away, and list both public keys until all hosts have the new topology"
    _write(_signing_path(folder, principal), f"signing: {secret.hex()}\n", otherwise)
    return secret


def load_signing_key(folder: Path, principal: str) -> bytes:
    """Gives the secret key with which a principal signs, 32 bytes.

    Raises:
        ConfigurationError: the file is missing, readable by others, or not a key file.
    """
    remedy = f"make it with `tellonce keys sign {principal}`, and list its public key in topology.yaml"
    return _read(_signing_path(folder, principal), f"the signing key of {principal}", ("signing",), remedy)["signing"]


def _signing_path(folder: Path, principal: str) -> Path:
    return folder / f"{principal}.sign"


def _read(path: Path, what: str, names: Sequence[str], remedy: str) -> Mapping[str, bytes]:
    try:
        text = path.read_text()
        mode = path.stat().st_mode & 0o077
    except (OSError, UnicodeDecodeError) as error:
        msg = f"expected {what} in {path}, found no readable file; {remedy}"
        raise ConfigurationError(msg, file=str(path)) from error
    if mode:
        msg = f"{path} may be read by others; expected mode 0600: chmod 600 {path}"
        raise ConfigurationError(msg, file=str(path))
    lines = [_LINE.match(line) for line in text.splitlines() if line]
    found = {match[1]: bytes.fromhex(match[2]) for match in lines if match}
    if None in lines or set(found) != set(names):
        shape = " and ".join(f"`{name}: …`" for name in names)
        msg = f"{path} is not a key file: expected the lines {shape} of 64 hexadecimal digits"
        raise ConfigurationError(msg, file=str(path))
    return found
