"""Signatures on control messages: whoever has the public keys of `topology.yaml` knows that nobody else wrote them.

A principal whose keys the topology lists signs everything that it says, and what stands on its topics without a
signature by one of them is refused. One whose keys it does not list is believed by the broker's access rules alone.
"""

from collections.abc import Callable, Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tellonce.model.errors import ConfigurationError

__all__ = ["Signatures", "public_key_of"]

_FORMAT = b"1 "
_DIGITS = 128


def public_key_of(secret: bytes) -> str:
    """Gives the public key of a secret one of 32 bytes, as `topology.yaml` lists it: 64 hexadecimal digits."""
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw().hex()


class Signatures:
    """What one principal signs with, and by which keys it knows the others."""

    def __init__(self, known: Mapping[str, Sequence[str]], speaker: str, load_secret: Callable[[], bytes]) -> None:
        """`known` has the public keys of each principal, and `load_secret` gives the speaker's own when it speaks."""
        self._known = {
            name: [Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)) for key in keys]
            for name, keys in known.items()
        }
        self._own_keys = frozenset(known.get(speaker, ()))
        self._speaker = speaker
        self._load_secret = load_secret
        self._secret: Ed25519PrivateKey | None = None

    def sign(self, topic: str, key: bytes, value: bytes) -> bytes | None:
        """Gives the value of the Kafka header `tellonce` of a message; None where this principal has no key.

        Raises:
            ConfigurationError: the secret key is missing, or none of the keys that the topology lists belongs to it.
        """
        secret = self.own()
        return None if secret is None else _FORMAT + secret.sign(_signed(topic, key, value)).hex().encode()

    def own(self) -> Ed25519PrivateKey | None:
        """Gives the speaker's secret key, read at the first time; None where the topology lists none of its keys.

        Raises:
            ConfigurationError: as `sign` has it.
        """
        if self._secret is None and self._own_keys:
            self._secret = self._load()
        return self._secret

    def _load(self) -> Ed25519PrivateKey:
        secret = self._load_secret()
        if public_key_of(secret) not in self._own_keys:
            msg = (
                f"expected the secret key of {self._speaker} to be one whose public key is under signing_keys of "
                "topology.yaml, found another; list its public key beside the old one, or put the right file back"
            )
            raise ConfigurationError(msg, principal=self._speaker)
        return Ed25519PrivateKey.from_private_bytes(secret)

    def knows(self, speaker: str) -> bool:
        """Tells whether the topology lists a key of a principal, so that it signs."""
        return speaker in self._known

    def are_by(self, speaker: str, signature: bytes | None, topic: str, key: bytes | None, value: bytes) -> bool:
        """Tells whether a message is by a principal; always so where the topology lists no key of it."""
        if speaker not in self._known:
            return True
        raw = _raw(signature)
        return raw is not None and any(
            _fits(public, raw, _signed(topic, key or b"", value)) for public in self._known[speaker]
        )


def _signed(topic: str, key: bytes, value: bytes) -> bytes:
    # Each part but the last has its length or an end that it cannot hold.
    return b"tellonce.statement\0%b\0%d\0%b%b" % (topic.encode(), len(key), key, value)


def _raw(signature: bytes | None) -> bytes | None:
    if signature is None or not signature.startswith(_FORMAT) or len(signature) != len(_FORMAT) + _DIGITS:
        return None
    try:
        return bytes.fromhex(signature[len(_FORMAT) :].decode())
    except ValueError:
        return None


def _fits(public: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    try:
        public.verify(signature, data)
    except InvalidSignature:
        return False
    return True
