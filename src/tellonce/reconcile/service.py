"""The reconciler as a service: reads statements and answers, lets the core decide, writes what it decided."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, assert_never

import structlog

from tellonce.control.channel import Channel, Heard
from tellonce.control.messages import Answer, Attestation, DivergenceEvent, Mark, Order, RepairRequest
from tellonce.model.errors import InvariantError
from tellonce.observability.messages import message_by_itself
from tellonce.reconcile.core import Core, Output, Taken
from tellonce.reconcile.status import StreamStatus
from tellonce.topology import Topology
from tellonce.topology.topics import OPERATOR, RECONCILER, publishers, subscribers

__all__ = ["Reconciler", "epoch_ms"]

_WAIT_SECONDS = 0.2
# So many batches are read before the core decides, so that it decides on what is newest and still writes under load.
_BATCHES_AT_ONCE = 20

_log = structlog.get_logger(__name__)


def epoch_ms() -> int:
    """Gives this machine's time in epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Reconciler:
    """Follows every subscribed stream, turn after turn. Not thread-safe, but for `statuses`."""

    def __init__(
        self,
        core: Core,
        topology: Topology,
        channel: Channel,
        *,
        on_written: Callable[[Sequence[Output]], None] = lambda _outputs: None,
        clock_ms: Callable[[], int] = epoch_ms,
    ) -> None:
        self._core = core
        self._channel = channel
        self._on_written = on_written
        self._clock_ms = clock_ms
        self._topology = topology
        self._is_listening = False
        self._decisions: dict[str, DivergenceEvent] = {}
        self._unwritten: deque[Output] = deque()
        self._statuses: tuple[StreamStatus, ...] = ()
        self._is_loaded = False
        self._gives_up_at_ms: int | None = None

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
        """The divergences that are not resolved; to be asked by its own thread."""
        return self._core.divergences()

    @property
    def settled(self) -> bool:
        """Whether every stream that has a mark was compared at its newest, and nothing is left to ask, decide or write.

        Whether they are equal is for `statuses` to say.
        """
        return self._is_loaded and not self._unwritten and self._core.is_settled

    def give_up_after(self, seconds: float) -> None:
        """Is done after so long, settled or not."""
        self._gives_up_at_ms = self._clock_ms() + int(seconds * 1000)

    def turn(self) -> bool:
        """Reads, decides and writes once; tells whether there was anything to read, to decide or to write.

        Raises:
            RetryableError: the broker is away; what could not be written is written again.
        """
        return not self._gave_up() and not self._turn()

    def is_done(self) -> bool:
        """Tells whether all is settled, or it was to give up by now."""
        return self.settled or self._gave_up()

    def pause(self) -> None:
        """Keeps all that it knows: the topics hold the rest."""

    def _gave_up(self) -> bool:
        return self._gives_up_at_ms is not None and self._clock_ms() >= self._gives_up_at_ms

    def _turn(self) -> bool:
        """Reads, decides and writes once; tells whether nothing was left to read, to decide or to write."""
        self._write()
        was_quiet = self._read()
        if not self._is_loaded:
            return False
        outputs = self._core.advance(self._clock_ms())
        self._unwritten.extend(outputs)
        self._tell(outputs)
        self._on_written(outputs)
        self._statuses = self._core.statuses()
        self._write()
        return was_quiet and not outputs

    def _read(self) -> bool:
        if not self._is_loaded:
            self._load()
            return False
        quiet = True
        for batch in range(_BATCHES_AT_ONCE):
            wait_seconds = 0.0 if batch else _WAIT_SECONDS
            if not self._take_all(wait_seconds):
                break
            quiet = False
        return quiet

    def _load(self) -> None:
        """Reads the topics up to their ends before anything is decided: an old difference may be over by now."""
        if not self._is_listening:
            self._listen()
        self._take_all(_WAIT_SECONDS)
        if self._channel.has_caught_up:
            self._is_loaded = True
            for decision in self._decisions.values():
                self._unwritten.extend(self._core.take_decision(decision, self._clock_ms()))
            self._decisions.clear()
            _log.info("reconciler_caught_up", divergences=len(self._core.divergences()))

    def _listen(self) -> None:
        publishing, attesting = publishers(self._topology), subscribers(self._topology)
        # Answers first: their end must be known before the first inquiry is written.
        self._channel.listen(Answer, sorted({*publishing, *attesting}), "now")
        self._channel.listen(DivergenceEvent, (RECONCILER, OPERATOR), "beginning")
        self._channel.listen(Mark, publishing, "beginning")
        self._channel.listen(Attestation, attesting, "beginning")
        self._is_listening = True

    def _take_all(self, wait_seconds: float) -> bool:
        """Hands in what has come, and tells whether anything has."""
        has_come = False
        for shape in (DivergenceEvent, Answer, Attestation, Mark):
            # Each is handed in before the next is asked for, which may fail.
            for heard in self._channel.hear(shape, 0.0 if has_come else wait_seconds):
                has_come = True
                with message_by_itself(shape.__name__, speaker=heard.speaker):
                    self._tell_of(heard, self._hand_in(heard))
            # Whatever came first has ended the wait.
            wait_seconds = 0.0
        return has_come

    def _tell_of(self, heard: Heard[Any], taken: Taken) -> None:
        where = {"topic": heard.place[0], "partition": heard.place[1], "offset": heard.offset}
        match taken:
            case Taken.TAKEN:
                pass
            case Taken.LATE:
                _log.debug("control_message_late", **where)
            case Taken.FOREIGN:
                _log.warning("control_message_refused", reason="its stream is none of its speaker's", **where)
            case Taken.CONTRADICTORY:
                _log.error("mark_contradicted", **where)
            case _:
                assert_never(taken)

    def _hand_in(self, heard: Heard[Any]) -> Taken:
        match heard.message:
            case Mark() as mark:
                return self._core.take_mark(mark)
            case Attestation() as attestation:
                return self._core.take_attestation(attestation)
            case Answer() as answer:
                return self._core.take_answer(answer, self._clock_ms())
            case DivergenceEvent() as event:
                self._hand_in_divergence(heard.speaker, event)
                return Taken.TAKEN
            case other:
                raise InvariantError(f"expected no message of shape {type(other).__name__}")

    def _hand_in_divergence(self, speaker: str, event: DivergenceEvent) -> None:
        if speaker == RECONCILER:
            if not self._is_loaded:
                self._core.load_divergence(event)
        elif self._is_loaded:
            self._unwritten.extend(self._core.take_decision(event, self._clock_ms()))
        else:
            # Only the newest of each is waiting to be carried out, if it has not been already.
            self._decisions[event.divergence_id] = event

    def _write(self) -> None:
        """Writes what is due; after a failure all of it is written again, which readers bear."""
        if not self._unwritten:
            return
        for output in self._unwritten:
            self._channel.say(output)
        self._channel.flush()
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
                case RepairRequest():
                    _log.info(
                        "repair_ordered",
                        order=output.order_id,
                        department=output.department,
                        view=output.view,
                        partition=output.partition,
                        records=len(output.pseudonyms),
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
