"""One view at one subscriber: contract, keys, binding and store, ready to use."""

from dataclasses import dataclass

from tellonce.model.seal import StreamSeal
from tellonce.storage.subscriber.store import SubscriberStore
from tellonce.storage.subscriber.view import BoundView
from tellonce.topology import View

__all__ = ["SubscribedView"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribedView:
    """A view as one subscriber applies it."""

    department: str
    view: View
    bound: BoundView
    store: SubscriberStore

    @property
    def name(self) -> str:
        """The view's full name."""
        return self.view.name

    def seal(self, partition: int) -> StreamSeal:
        """Gives what opens the messages of one of its streams."""
        return StreamSeal(self.bound.keys.digest, self.name, partition)
