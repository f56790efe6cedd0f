"""Seals on the messages of a view's topic: whoever has the view's digest key sees what its authority did not write.

A seal is a keyed BLAKE2b over everything that a subscriber acts by: the stream, the Kafka key, the numbers of the
position header and the body. It is made with the key of the view's sums under another personalisation, so that a
rotation of that key, which begins an epoch, rotates it as well.
"""

import re
from hashlib import blake2b
from hmac import compare_digest

from tellonce.model.position import Header, parse_header, render_header

__all__ = ["MARKER_PREFIX", "SEAL_BYTES", "StreamSeal"]

SEAL_BYTES = 16
MARKER_PREFIX = "marker:"

_PSEUDONYM = re.compile(rb"[0-9a-f]{32}")


class StreamSeal:
    """Makes and checks the headers of one stream's messages; a message of another stream does not pass."""

    __slots__ = ("_marker", "_start")

    def __init__(self, key: bytes, view: str, partition: int) -> None:
        self._marker = f"{MARKER_PREFIX}{view}/{partition}".encode()
        stream = f"{view}\0{partition}\0".encode()
        self._start = blake2b(stream, key=key, digest_size=SEAL_BYTES, person=b"tellonce.seal")

    def header(self, position: Header, kafka_key: bytes, body: bytes | None) -> bytes:
        """Gives the value of the Kafka header `tellonce` of a message; `body` is None for a tombstone."""
        return render_header(position, self._seal(position, kafka_key, body))

    def open(self, data: bytes | None, kafka_key: bytes | None, body: bytes | None) -> Header:
        """Gives the position of a message that this stream's authority wrote here as it is.

        Raises:
            ValueError: the message is not such a one; the text says in a few words what is wrong, and quotes nothing.
        """
        if data is None or kafka_key is None:
            raise ValueError("it has no header or no key")
        position, seal = parse_header(data)
        if not compare_digest(self._seal(position, kafka_key, body).encode(), seal.encode()):
            raise ValueError("its seal is not this authority's for this place")
        if not _PSEUDONYM.fullmatch(kafka_key) and not kafka_key.startswith(self._marker):
            raise ValueError("its key is neither a pseudonym nor a marker of this stream")
        return position

    def _seal(self, position: Header, kafka_key: bytes, body: bytes | None) -> str:
        seal = self._start.copy()
        # Every part but the last has its length or an end that it cannot hold, so no two messages read alike.
        seal.update(b"%b\0%d\0%b%b" % (position.numbers(), len(kafka_key), kafka_key, b"n" if body is None else b"v"))
        seal.update(body or b"")
        return seal.hexdigest()
