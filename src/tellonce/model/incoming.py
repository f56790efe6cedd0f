"""An event as it came, or was kept while its record is parked: not decoded yet."""

from dataclasses import dataclass

from tellonce.model.position import Header
from tellonce.model.quick import quick

__all__ = ["Incoming"]


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """The newest event of one record, still as bytes."""

    pseudonym: str
    header: Header
    payload: bytes

    @property
    def order(self) -> tuple[int, int, int]:
        """Epoch, version and sequence: the newest of two events of one record is the one with the greater order."""
        return self.header.epoch, self.header.version, self.header.sequence
