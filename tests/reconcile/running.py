"""Letting a reconciler work as `tellonce reconcile --once` does."""

from threading import Event

from tellonce.reconcile.service import Reconciler
from tellonce.running import run_turns


def run_once(service: Reconciler, *, stop: Event | None = None, deadline_seconds: float = 60.0) -> bool:
    """Let it work until all is settled, or for so long at most; tell whether all was settled."""
    service.give_up_after(deadline_seconds)
    run_turns(service.turn, stop or Event(), idle_seconds=0.0, on_pause=service.pause, is_done=service.is_done)
    return service.settled
