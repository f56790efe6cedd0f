"""The reconciler as a service: reads statements and answers, lets the core decide, writes what it decided."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from threading import Event
from typing import assert_never

import structlog

from tellonce.control.messages import Answer, Attestation, DivergenceEvent, Mark, Order, decode_message
from tellonce.kafka.control import ControlMessage
from tellonce.model.errors import PoisonMessageError, RetryableError
from tellonce.reconcile.core import Core, Output, Taken
from tellonce.reconcile.status import StreamStatus
from tellonce.reconcile.wires import Wires, answer_topics, attestation_topics, render_output
from tellonce.topology import Topology
from tellonce.topology.topics import DIVERGENCES, MARKS

__all__ = ["Reconciler", "Watcher", "epoch_ms"]

_WAIT_SECONDS = 0.2
_PAUSE_SECONDS = 1.0
# So many batches are read before the core decides, so that it decides on what is newest and still writes under load.
_BATCHES_AT_ONCE = 20

_log = structlog.get_logger(__name__)


def epoch_ms() -> int:
    """Gives this machine's time in epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Watcher:
    """What is told of the reconciler's work; this one makes nothing of it."""

    def turned(self, seconds: float) -> None:
        """A turn took so long."""

    def paused(self) -> None:
        """The broker is away, and it waits."""

    def wrote(self, outputs: Sequence[Output]) -> None:
        """It has decided to write these messages."""


class Reconciler:
    """Follows every subscribed stream until stopped, or until all is settled. Not thread-safe, but for `statuses`."""

    def __init__(
        self,
        core: Core,
        topology: Topology,
        wires: Wires,
        *,
        watcher: Watcher | None = None,
        clock_ms: Callable[[], int] = epoch_ms,
    ) -> None:
        self._core = core
        self._wires = wires
        self._watcher = watcher or Watcher()
        self._clock_ms = clock_ms
        self._attesting = attestation_topics(topology)
        self._answering = answer_topics(topology)
        self._unwritten: deque[Output] = deque()
        self._statuses: tuple[StreamStatus, ...] = ()
        self._is_loaded = False

    @property
    def statuses(self) -> tuple[StreamStatus, ...]:
        """How every subscribed stream stands; empty until what the topics hold has been read. Any thread may ask."""
        return self._statuses

    @property
    def is_loaded(self) -> bool:
        """Whether what the topics held at the start has been read."""
        return self._is_loaded

    @property
    def divergences(self) -> tuple[DivergenceEvent, ...]:
        """The divergences that are not resolved; to be asked by its own thread, or when `run` has returned."""
        return self._core.divergences()

    def run(self, stop: Event, *, once: bool = False, deadline_seconds: float = 60.0) -> bool:
        """Works until `stop` is set; with `once`, until all is settled or the deadline has passed.

        Settled means that every stream that has a mark was compared at its newest, no inquiry is outstanding and
        nothing is undecided; whether they are equal is for `statuses` to say. Gives whether all was settled at the end.
        While the broker is away it waits, and goes on where it was.
        """
        deadline_ms = self._clock_ms() + int(deadline_seconds * 1000)
        _log.info("reconciler_started", once=once)
        while not stop.is_set() and not (once and self._clock_ms() >= deadline_ms):
            started = time.perf_counter()
            try:
                is_quiet = self._turn()
            except RetryableError as error:
                _log.warning("reconciler_paused", reason=str(error), **error.facts)
                self._watcher.paused()
                stop.wait(_PAUSE_SECONDS)
                continue
            self._watcher.turned(time.perf_counter() - started)
            if is_quiet and once and self._core.is_settled:
                break
        settled = self._is_loaded and not self._unwritten and self._core.is_settled
        _log.info("reconciler_stopped", settled=settled, divergences=len(self._core.divergences()))
        return settled

    def _turn(self) -> bool:
        """Reads, decides and writes once; tells whether nothing was left to read, to decide or to write."""
        self._write()
        was_quiet = self._read()
        if not self._is_loaded:
            return False
        outputs = self._core.advance(self._clock_ms())
        self._unwritten.extend(outputs)
        self._tell(outputs)
        self._watcher.wrote(outputs)
        self._statuses = self._core.statuses()
        self._write()
        return was_quiet and not outputs

    def _read(self) -> bool:
        if not self._is_loaded:
            self._load()
            return False
        asking = self._core.is_asking
        quiet = True
        for batch in range(_BATCHES_AT_ONCE):
            wait_seconds = 0.0 if batch else _WAIT_SECONDS
            messages = self._wires.answers.poll(wait_seconds if asking else 0.0)
            messages += self._wires.statements.poll(0.0 if asking else wait_seconds)
            for message in messages:
                self._take(message)
            if not messages:
                break
            quiet = False
        return quiet

    def _load(self) -> None:
        """Reads the topics up to their ends before anything is decided: an old difference may be over by now."""
        for message in self._wires.statements.poll(_WAIT_SECONDS):
            self._take(message)
        if self._wires.statements.has_caught_up:
            self._is_loaded = True
            _log.info("reconciler_caught_up", divergences=len(self._core.divergences()))

    def _take(self, message: ControlMessage) -> None:
        if message.value is None:
            return
        where = {"topic": message.topic, "partition": message.partition, "offset": message.offset}
        try:
            taken = self._hand_in(message.topic, message.value)
        except PoisonMessageError as error:
            _log.warning("control_message_skipped", reason=str(error), **where)
            return
        match taken:
            case Taken.TAKEN:
                pass
            case Taken.LATE:
                _log.debug("control_message_late", **where)
            case Taken.FOREIGN:
                _log.warning("control_message_refused", **where)
            case Taken.CONTRADICTORY:
                _log.error("mark_contradicted", **where)
            case _:
                assert_never(taken)

    def _hand_in(self, topic: str, value: bytes) -> Taken:
        if topic == MARKS:
            return self._core.take_mark(decode_message(Mark, value))
        if topic == DIVERGENCES:
            self._hand_in_divergence(decode_message(DivergenceEvent, value))
            return Taken.TAKEN
        if topic in self._attesting:
            attestation = decode_message(Attestation, value)
            # Only the topic tells who wrote it: the broker lets nobody else write there.
            return self._core.take_attestation(attestation) if self._is_by(topic, attestation) else Taken.FOREIGN
        answer = decode_message(Answer, value)
        return self._core.take_answer(answer, self._clock_ms()) if self._is_by(topic, answer) else Taken.FOREIGN

    def _is_by(self, topic: str, message: Attestation | Answer) -> bool:
        return message.department == (self._attesting.get(topic) or self._answering.get(topic))

    def _hand_in_divergence(self, event: DivergenceEvent) -> None:
        if self._is_loaded:
            self._unwritten.extend(self._core.take_divergence(event, self._clock_ms()))
        else:
            self._core.load_divergence(event)

    def _write(self) -> None:
        """Writes what is due; after a failure all of it is written again, which readers bear."""
        if not self._unwritten:
            return
        for output in self._unwritten:
            self._wires.writer.write(*render_output(output))
        self._wires.writer.flush()
        self._unwritten.clear()

    def _tell(self, outputs: tuple[Output, ...]) -> None:
        changed: Counter[tuple[str, str, str, str]] = Counter()
        for output in outputs:
            match output:
                case DivergenceEvent():
                    changed[output.department, output.view, output.kind.value, output.state.value] += 1
                    _log.debug(
                        "divergence_changed",
                        divergence=output.divergence_id,
                        department=output.department,
                        view=output.view,
                        kind=output.kind.value,
                        state=output.state.value,
                    )
                case Order():
                    _log.info(
                        "order_given",
                        order=output.order_id,
                        action=output.action,
                        view=output.view,
                        partition=output.partition,
                        records=len(output.pseudonyms),
                    )
                case _:
                    pass
        for (department, view, kind, state), count in sorted(changed.items()):
            _log.info("divergences_changed", department=department, view=view, kind=kind, state=state, count=count)
        for drill in self._core.concluded():
            _log.info(
                "drill_down_concluded",
                view=drill.stream.view,
                partition=drill.stream.partition,
                departments=list(drill.departments),
                left_out=dict(drill.left_out),
            )
