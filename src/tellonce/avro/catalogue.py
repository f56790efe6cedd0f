"""The published schemas of every view, ready to write and read messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tellonce.avro.agreement import Codec, check_agreement
from tellonce.avro.codec import is_compiled, make_decoder, make_encoder
from tellonce.avro.decoder import Decoder
from tellonce.avro.derive import WireSchema, read_wire_schema
from tellonce.avro.encoder import MAGIC, Encoder, frame_head
from tellonce.avro.errors import UndecodableMessage, UnknownSchemaError
from tellonce.avro.eventrules import SourceNames
from tellonce.avro.fields import ViewSchema
from tellonce.avro.fieldshape import FieldShape
from tellonce.avro.lock import LOCK_FILE, Lock, check_lock, load_lock, subject_of
from tellonce.model.change import ChangeEvent
from tellonce.model.errors import ConfigurationError
from tellonce.topology.model import Topology, View

__all__ = ["Catalogue"]

_HEAD_BYTES = 5
# Avro's single-object encoding begins so; it is the likeliest other framing to meet.
_SINGLE_OBJECT = b"\xc3\x01"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Published:
    """A view's published versions, by id; `newest` is the last of them."""

    names: SourceNames
    subject: str
    versions: dict[int, WireSchema]
    newest: WireSchema


class Catalogue:
    """Writes and reads the messages of every view by the ids of the lock; safe to share between threads."""

    def __init__(self, lock: Lock, topology: Topology) -> None:
        """Take the views of a topology as the lock has them.

        Raises:
            ConfigurationError: a view has no published schema, two versions of one cannot be read as each other, or
                the compiled codec of one does not agree with fastavro.
        """
        self._lock = lock
        self._views = {view.name: _published(lock, view) for view in topology.views()}
        self._encoders: dict[str, Encoder] = {}
        self._decoders: dict[tuple[str, frozenset[str] | None, bool, bytes], Decoder] = {}
        for view in self._views:
            self._check_codecs(view)

    @classmethod
    def load(cls, schemas: Path, topology: Topology) -> "Catalogue":
        """The catalogue of a folder of schemas, whose lock is exactly what the files and the topology say.

        Raises:
            ConfigurationError: a file cannot be used, or the lock differs from what is derived; the message says from
                which file and what to do.
        """
        lock = load_lock(schemas)
        texts = [finding.text for finding in check_lock(schemas, topology)]
        if texts:
            more = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
            message = f"{schemas / LOCK_FILE} is not what the schemas and the topology say: {texts[0]}{more}"
            raise ConfigurationError(message, findings=len(texts))
        return cls(lock, topology)

    def fingerprint(self) -> str:
        """Twelve digits that are the same wherever the same schemas are published."""
        return self._lock.fingerprint()

    def view_schema(self, view: str) -> ViewSchema:
        """The newest published schema of a view.

        Raises:
            ConfigurationError: the topology has no such view.
        """
        published = self._published(view)
        fields = tuple(field.spec for field in published.newest.fields)
        return ViewSchema(view=view, schema_id=published.newest.schema_id, fields=fields)

    def encode(self, view: str, event: ChangeEvent) -> bytes:
        """The event as a message of the view's newest schema, in the Confluent frame.

        Raises:
            CannotEncode: a field is missing, is not the view's, or holds a value that is not of its type.
            ConfigurationError: the topology has no such view.
            InvariantError: the event is another view's.
        """
        encoder = self._encoders.get(view)
        return (encoder or self.encoder(view))(event)

    def encoder(self, view: str) -> Encoder:
        """The function behind `encode` for one view, for loops that would look it up each time.

        Raises:
            ConfigurationError: the topology has no such view.
        """
        published = self._published(view)
        return self._encoders.setdefault(view, make_encoder(published.newest, published.names))

    def decode(
        self, data: bytes, *, view: str, wanted: frozenset[str] | None = None, with_before: bool = True
    ) -> ChangeEvent:
        """The event that a message of this view holds, in the fields of the view's newest version.

        A field that the message's older version lacks has its default, and one that the newest dropped is left out.
        `wanted` narrows `before` and `after` to these fields; without `with_before` that side is skipped and None.
        What is not wanted is skipped by its length, and not otherwise checked.

        Raises:
            UnknownSchemaError: the message's schema id is not in the lock.
            UndecodableMessage: the bytes are no message of this view.
            ConfigurationError: the topology has no such view, or the view no such wanted field.
        """
        decoder = self._decoders.get((view, wanted, with_before, data[:_HEAD_BYTES]))
        if decoder is None:
            decoder = self._decoder(data, view, wanted, with_before=with_before)
        return decoder(data)

    def _check_codecs(self, view: str) -> None:
        published = self._published(view)
        for written in published.versions.values():
            if is_compiled(written):
                head = frame_head(written.schema_id)
                decode = self._decoder(head, view, None, with_before=True)
                encode = self.encoder(view) if written is published.newest else None
                codec = Codec(written=written, newest=published.newest, encode=encode, decode=decode)
                check_agreement(codec, published.names)

    def _decoder(self, data: bytes, view: str, wanted: frozenset[str] | None, *, with_before: bool) -> Decoder:
        published = self._published(view)
        _check_wanted(view, wanted, published.newest.fields)
        schema_id = _schema_id(data, view)
        written = published.versions.get(schema_id)
        if written is None:
            raise self._foreign(schema_id, view)
        made = make_decoder(written, published.newest, published.names, wanted=wanted, with_before=with_before)
        return self._decoders.setdefault((view, wanted, with_before, data[:_HEAD_BYTES]), made)

    def _foreign(self, schema_id: int, view: str) -> UndecodableMessage | UnknownSchemaError:
        for entry in self._lock.entries:
            if entry.id == schema_id:
                expected = f"expected a message of view {view}, found schema {schema_id}, which is {entry.subject}"
                message = f"{expected}; find out who wrote it to this topic"
                return UndecodableMessage(message, view=view, schema_id=schema_id)
        below = f"below {self._lock.next_id}"
        expected = f"expected a schema id of {LOCK_FILE} ({below}), found {schema_id} for view {view}"
        message = f"{expected}; update schemas/ to what the authority publishes by"
        return UnknownSchemaError(message, view=view, schema_id=schema_id)

    def _published(self, view: str) -> _Published:
        published = self._views.get(view)
        if published is None:
            known = ", ".join(self._views) or "none"
            raise ConfigurationError(f"expected a view of the topology ({known}), found {view}", view=view)
        return published


def _published(lock: Lock, view: View) -> _Published:
    subject = subject_of(view)
    versions = {entry.id: read_wire_schema(entry.id, entry.envelope) for entry in lock.of_subject(subject)}
    if not versions:
        message = f"expected {subject} in the lock, found no version of it; run `tellonce schemas lock`"
        raise ConfigurationError(message, view=view.name)
    newest = versions[max(versions)]
    for written in versions.values():
        _check_readable(subject, written, newest)
    names = SourceNames(department=view.authority, record_type=view.record_type, view=view.name)
    return _Published(names=names, subject=subject, versions=versions, newest=newest)


def _check_readable(subject: str, written: WireSchema, newest: WireSchema) -> None:
    schema_id = written.schema_id
    by_name = {field.spec.name: field for field in written.fields}
    for field in newest.fields:
        old = by_name.get(field.spec.name)
        fits = field.has_default if old is None else _is_readable(old, field)
        if not fits:
            problem = f"expected every version of {subject} to be readable by the newest, found schema {schema_id} not"
            message = f"{problem} (field {field.spec.name}); run `tellonce schemas check`"
            raise ConfigurationError(message, subject=subject, schema_id=schema_id, field=field.spec.name)


def _is_readable(old: FieldShape, new: FieldShape) -> bool:
    """Whether a value of the old type is one of the new as it stands; the decoder converts nothing but enum symbols."""
    one, other = old.value, new.value
    same = (one.wire, one.precision, one.scale, one.size) == (other.wire, other.precision, other.scale, other.size)
    return same and (other.nullable or not one.nullable)


def _check_wanted(view: str, wanted: frozenset[str] | None, newest: Sequence[FieldShape]) -> None:
    names = {field.spec.name for field in newest}
    for name in sorted(wanted or ()):
        if name not in names:
            message = f"expected wanted fields of view {view} ({', '.join(sorted(names))}), found {name}"
            raise ConfigurationError(message, view=view, field=name)


def _schema_id(data: bytes, view: str) -> int:
    if data[:1] == MAGIC and len(data) >= _HEAD_BYTES:
        return int.from_bytes(data[1:_HEAD_BYTES], "big")
    if not data:
        found = "no bytes at all"
    elif data.startswith(_SINGLE_OBJECT):
        found = "Avro's single-object encoding, which names no schema id"
    elif data.startswith(MAGIC):
        found = f"{len(data)} bytes"
    else:
        found = "another first byte"
    expected = f"expected a Confluent frame (byte 0, four bytes of schema id) for view {view}, found {found}"
    message = f"{expected}; find out who wrote it to this topic"
    raise UndecodableMessage(message, view=view, size_bytes=len(data))
