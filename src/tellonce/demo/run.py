"""One run of the demonstration city: set up, publish, change, meddle, reconcile, judge."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine

from tellonce.control.messages import DivergenceEvent
from tellonce.control.signing import Signatures
from tellonce.demo.check import Finding, Known, check
from tellonce.demo.corrections import Corrections
from tellonce.demo.faults import Fault, FaultPlan, Planted, plan_faults
from tellonce.demo.generation import City, build_city
from tellonce.demo.load import ChangeLoad
from tellonce.demo.observing import DivergenceWatch, Observer, percentiles
from tellonce.demo.prometheus import PrometheusServer, find_prometheus
from tellonce.demo.services import Commands, RunningServices
from tellonce.demo.show import DemoProgress, where_to_look
from tellonce.demo.sites import Sites, add_signing_keys, copy_configuration, keep_databases, open_sites, write_facts
from tellonce.kafka.channel import KafkaChannel
from tellonce.keyring import load_view_keys
from tellonce.model.digest import pseudonym_of
from tellonce.model.errors import ConfigurationError, InvariantError, RetryableError
from tellonce.observability.alerts import rules_of
from tellonce.observability.logs import configure_logs
from tellonce.storage.database import open_database
from tellonce.topology import Topology, load_topology
from tellonce.topology.topics import OPERATOR

__all__ = ["DemoOptions", "run_demo"]

# One event of the largest view is under 700 bytes with its before; a partition of the embedded broker keeps 5 MB.
EMBEDDED_MOST_RECORDS = 15_000
_SNAPSHOT_SECONDS = 120.0
_SETTLE_SECONDS = 60.0
_LOAD_SECONDS = 8.0
"""The live load is spread over at least this long, so that it meets the sweeps and the planted edits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What to run: the city's size, how many changes, the seed, where, and on what."""

    residents: int = 3_000
    changes: int = 300
    seed: int = 1
    keep: Path | None = None
    broker: Literal["embedded", "kafka"] = "embedded"
    store: Literal["sqlite", "postgres"] = "sqlite"


Verdict = dict[str, Any]


def run_demo(
    options: DemoOptions, *, is_quiet: bool = False, stay: Callable[[Verdict, Path], None] | None = None
) -> Verdict:
    """Runs the demonstration and gives its verdict, also left in `verdict.json` of a kept folder.

    With `stay`, a Prometheus runs beside it, and all of it runs until `stay`, called with the verdict and the run's
    folder, returns.

    Raises:
        ConfigurationError: the size is more than the embedded broker can hold, the folder to keep is not empty, or
            Prometheus is needed and not installed.
        InvariantError: a service or command failed; names it and its log.
    """
    _refuse_impossible(options)
    if stay is not None:
        find_prometheus()
    started = time.monotonic()
    configure_logs("text", "warning")
    with _folder(options.keep) as folder, ExitStack() as stack:
        with DemoProgress(is_quiet=is_quiet) as progress:
            run = _Run(options, folder, stack, progress)
            run.set_up()
            if stay is not None:
                run.watch()
            run.take_snapshot()
            run.change_and_meddle()
            run.settle()
            verdict = run.judge(started)
        (folder / "verdict.json").write_text(json.dumps(verdict, ensure_ascii=False, indent=1, default=str))
        if stay is not None:
            stay(verdict, folder)
    return verdict


def _refuse_impossible(options: DemoOptions) -> None:
    records = options.residents + options.changes
    if options.broker == "embedded" and records > EMBEDDED_MOST_RECORDS:
        msg = (
            f"the embedded broker forgets what exceeds 5 MB in a partition: at most {EMBEDDED_MOST_RECORDS} "
            f"residents and changes; found {records}: take fewer, or --broker kafka"
        )
        raise ConfigurationError(msg)
    if options.keep is not None and options.keep.exists() and any(options.keep.iterdir()):
        msg = f"expected --keep to name a new or empty folder, found files in {options.keep}"
        raise ConfigurationError(msg)


@contextmanager
def _folder(keep: Path | None) -> Generator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="tellonce-demo-"))
    # Where a service fails the folder stays: its log is what a person needs next.
    try:
        yield folder
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


class _Run:
    """One run, step by step."""

    def __init__(self, options: DemoOptions, folder: Path, stack: ExitStack, progress: DemoProgress) -> None:
        self._options = options
        self._folder = folder
        self._stack = stack
        self._progress = progress
        copy_configuration(folder)
        add_signing_keys(folder)
        self._topology: Topology = load_topology(folder / "topology.yaml")
        self._city: City = build_city(options.seed, options.residents)
        self._faults: FaultPlan = plan_faults(self._city, options.seed)
        self._planted: list[Planted] = []
        self._load_began_ms = 0
        self._prometheus: PrometheusServer | None = None

    def set_up(self) -> None:
        """Starts broker and databases, fills the tables, and installs tellonce as an operator would."""
        self._progress.step("starting broker and databases")
        self._sites: Sites = open_sites(
            self._folder, self._topology, self._options.broker, self._options.store, self._stack
        )
        self._engines: dict[str, Engine] = {d: open_database(url) for d, url in self._sites.databases.items()}
        for engine in self._engines.values():
            self._stack.callback(engine.dispose)
        self._city.create_databases(self._engines)
        self._corrections = Corrections(self._folder / "consumers", self._topology, self._engines)
        departments = list(self._topology.departments)
        pace = {"TELLONCE_SWEEP_INTERVAL_SECONDS": "3"}
        environments = {name: self._sites.environment(name, **pace) for name in departments}
        commands = Commands(self._folder, environments)
        self._commands = commands
        self._progress.step("keys, topics, installation")
        first: list[tuple[str, Sequence[str]]] = [("public-security", ("keys", "new", "--all"))]
        if self._options.broker == "kafka":
            first.append(("public-security", ("topics", "apply")))
        commands.run([*first, *((name, ("install", name, "--yes")) for name in departments)])
        authorities = [name for name in departments if self._topology.published_by(name)]
        commands.run([(name, ("snapshot", name)) for name in authorities])
        self._services = RunningServices(commands)
        self._stack.callback(self._services.stop)
        for name in authorities:
            self._services.start(name, "relay", name)
        for name in departments:
            if self._topology.subscribed_by(name):
                self._services.start(name, "consume", name)
        self._services.start("public-security", "reconcile")
        self._observer = Observer(self._topology, self._engines)
        signatures = Signatures(self._topology.signing_keys, OPERATOR, bytes)
        channel = self._stack.enter_context(KafkaChannel(self._sites.kafka, OPERATOR, "tellonce-demo", signatures))
        self._watch = DivergenceWatch(channel)

    def watch(self) -> None:
        """Starts a Prometheus that scrapes every service, with the city's rules, and tells where to look."""
        services = self._services.addresses()
        server = PrometheusServer(self._folder / "prometheus", rules_of(self._topology))
        self._prometheus = self._stack.enter_context(server)
        server.scrape(services)
        self._sites.write_env_files()
        for line in where_to_look(server.url, services):
            self._progress.tell(line)

    def take_snapshot(self) -> None:
        """Waits until every department has applied the first snapshot."""
        self._wait("first snapshot to every department", _SNAPSHOT_SECONDS, lambda: True)

    def change_and_meddle(self) -> None:
        """Makes the live changes, and edits rows behind the services' backs while they run."""
        self._load_began_ms = int(time.time() * 1000)
        changes = self._options.changes
        load = ChangeLoad(self._city, seed=self._options.seed, changes=changes, avoid=self._faults.avoid)
        pause = _LOAD_SECONDS / changes
        waiting = list(self._faults.faults)
        with self._progress.bar("changes at the authorities", changes) as advance:
            for done in load.run(self._engines):
                advance(1, None)
                if waiting and done.number >= changes // 3:
                    self._plant(waiting)
                time.sleep(pause)
        self._plant(waiting)
        if waiting:
            msg = f"expected to plant every edit, found no row for: {', '.join(fault.title for fault in waiting)}"
            raise InvariantError(msg)

    def settle(self) -> None:
        """Waits until all changes are applied and every planted edit was found and repaired or flagged."""
        self._wait("changes, sweeps and repairs to settle", _SETTLE_SECONDS, lambda: not self._unsettled())

    def judge(self, started: float) -> Verdict:
        """Compares everything by the independent check and says what is true."""
        self._progress.step("the verdict")
        self._services.check()
        self._services.stop("reconcile")
        streams = self._streams()
        if self._prometheus is None:
            self._services.stop()
        else:
            self._services.start("public-security", "reconcile")
            services = self._services.addresses()
            self._prometheus.scrape(services)
            self._progress.tell(f"reconcile, started anew: http://{services['reconcile']}/metrics")
        open_ones = self._watch.open_ones()
        known = [_known(planted) for planted in self._planted if not planted.heals]
        ownership = self._city.ownership_facts()
        independent = check(self._sites.databases, ownership=ownership, known=known)
        problems = [*self._unsettled(), *_stream_problems(streams)]
        if not independent["agrees"]:
            problems.append(f"the independent check found {len(independent['unexpected'])} records held otherwise")
        if independent["gone"]:
            problems.append(f"{len(independent['gone'])} differences that only a person may mend are gone")
        problems += self._unnamed(independent["findings"], open_ones)
        verdict: Verdict = {
            "true": not problems,
            "problems": problems,
            "options": {"residents": self._options.residents, "changes": self._options.changes},
            "departments": self._holdings(),
            "propagation": percentiles(self._observer.delays_ms(self._load_began_ms)),
            "planted": [self._found(planted) for planted in self._planted],
            "divergences": [event.model_dump(mode="json") for event in open_ones],
            "streams": streams,
            "independent": independent,
            "wall_seconds": round(time.monotonic() - started, 1),
        }
        databases = keep_databases(self._folder, self._sites.databases, self._engines)
        write_facts(self._folder, databases, ownership, known)
        return verdict

    def _holdings(self) -> list[dict[str, object]]:
        corrected = self._corrections.counts()
        return [
            {**row, "corrected": corrected[str(row["department"]), str(row["view"])]}
            for row in self._observer.holdings()
        ]

    def _unnamed(self, findings: Sequence[Finding], open_ones: Sequence[DivergenceEvent]) -> list[str]:
        """Gives where check and reconciler do not name the same records as ambiguous, or as too long for their column.

        The check names a row and all whom it may be; of these, one who has a row of his own is not ambiguous.
        """
        problems: list[str] = []
        for ours, theirs in (("ambiguous", "ambiguous"), ("cannot_hold", "parked")):
            named = {(e.department, e.view, e.pseudonym) for e in open_ones if e.kind == theirs}
            candidates = [
                {(f["department"], f["view"], self._pseudonym(f["view"], key)) for key in keys}
                for f in findings
                if f["kind"] == ours and (keys := f["record_keys"] or [f["record_key"]])
            ]
            missed = sum(not some & named for some in candidates)
            unfounded = len(named - set[tuple[str, str, str]]().union(*candidates))
            if missed or unfounded:
                problems.append(
                    f"{theirs} records: {missed} that only the check found, {unfounded} that it did not find"
                )
        return problems

    def _pseudonym(self, view: str, record_key: str) -> str:
        return pseudonym_of(load_view_keys(self._folder / "keys", view).pseudonym, record_key)

    def _plant(self, waiting: list[Fault]) -> None:
        for fault in list(waiting):
            try:
                self._planted.append(fault.plant(self._engines))
            except RetryableError:
                continue
            waiting.remove(fault)

    def _found(self, planted: Planted) -> dict[str, object]:
        pseudonym = self._pseudonym(planted.view, planted.record_key)
        event = self._watch.newest().get((planted.department, planted.view, pseudonym))
        return {
            "department": planted.department,
            "view": planted.view,
            "pseudonym": pseudonym,
            "planted": planted.kind,
            "policy": planted.policy,
            "heals": planted.heals,
            "found": None if event is None else event.kind.value,
            "state": None if event is None else event.state.value,
        }

    def _unsettled(self) -> list[str]:
        """Gives what is not yet as it should be at the end."""
        problems: list[str] = []
        if not self._observer.progress().is_settled:
            problems.append("not every change is published and applied")
        named: set[str] = set()
        for planted in self._planted:
            if planted.kind == "unseen":
                continue
            found = self._found(planted)
            named.add(str(found["pseudonym"]))
            wanted = "resolved" if planted.heals else ("open" if planted.policy == "flag" else "explained")
            if (found["found"], found["state"]) != (planted.kind, wanted):
                problems.append(
                    f"{planted.department} {planted.view}: expected one {planted.kind} record {wanted}, "
                    f"found {found['found']} {found['state']}"
                )
        problems += [
            f"{event.department} {event.view}: {event.kind} record that nobody planted"
            for event in self._watch.open_ones()
            if event.pseudonym not in named and event.kind not in ("ambiguous", "parked")
        ]
        return problems

    def _wait(self, what: str, longest_seconds: float, is_enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + longest_seconds
        with self._progress.bar(what, None) as advance:
            done = 0
            while True:
                self._services.check()
                progress = self._observer.progress()
                advance(progress.done - done, progress.known)
                done = progress.done
                if (progress.is_settled and is_enough()) or time.monotonic() > deadline:
                    return
                time.sleep(0.3)

    def _streams(self) -> list[dict[str, Any]]:
        """Asks a fresh reconciler, from the topics alone, how every stream stands."""
        arguments = [sys.executable, "-m", "tellonce", "reconcile", "--once", "--deadline-seconds", "20", "--json"]
        environment = {**os.environ, **self._sites.environment("public-security")}
        with (self._commands.logs / "verdict.log").open("wb") as log:
            done = subprocess.run(arguments, env=environment, stdout=subprocess.PIPE, stderr=log, check=False)
        if done.returncode != 0:
            msg = f"`tellonce reconcile --once` failed with code {done.returncode}; see {self._commands.logs}"
            raise InvariantError(msg)
        return list(json.loads(done.stdout)["streams"])


def _known(planted: Planted) -> Known:
    return {
        "department": planted.department,
        "view": planted.view,
        "record_key": planted.record_key,
        "kind": planted.kind,
    }


def _stream_problems(streams: Sequence[Mapping[str, Any]]) -> list[str]:
    """Gives the streams that are neither proved nor different by exactly the known divergences."""
    return [
        f"{s['department']} {s['view']}/{s['partition']} is {s['state']}"
        for s in streams
        if s["state"] != "proved" and not (s["state"] == "diverged" and s["is_explained"])
    ]
