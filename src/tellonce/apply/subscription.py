"""One view at one subscriber: contract, schema, keys and bound table, ready to use."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from tellonce.avro import ViewSchema
from tellonce.declare import Binding
from tellonce.keyring import ViewKeys
from tellonce.model.change import Fields, Value
from tellonce.model.digest import element
from tellonce.model.seal import StreamSeal
from tellonce.storage.bound_table import BoundTable
from tellonce.topology import View

__all__ = ["SubscribedView"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribedView:
    """A view as one subscriber applies it."""

    department: str
    view: View
    schema: ViewSchema
    keys: ViewKeys
    binding: Binding
    table: BoundTable

    @property
    def name(self) -> str:
        """The view's full name."""
        return self.view.name

    def seal(self, partition: int) -> StreamSeal:
        """Gives what opens the messages of one of its streams."""
        return StreamSeal(self.keys.digest, self.name, partition)

    def element_of(self, pseudonym: str, fields: Fields) -> int:
        """Gives what a record with these fields adds to the stream's sum."""
        return element(self.keys.digest, pseudonym, [fields[name] for name in self.schema.digest_fields])

    def match_hashes(self, values: Iterable[Value]) -> frozenset[str]:
        """Gives keyed hashes of values that a row may be found by, so that the ledger need not hold the values."""
        key = self.keys.digest
        return frozenset(
            blake2b(str(value).encode(), digest_size=12, key=key, person=b"tellonce.match").hexdigest()
            for value in values
        )
