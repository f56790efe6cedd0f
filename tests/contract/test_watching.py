"""What an operator reads from the services' metrics is what is so."""

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from prometheus_client.metrics_core import Metric
from structlog.testing import capture_logs

from contract.city import City, MakeCity, drive
from contract.forms import id_number
from reconcile.running import run_once
from tellonce.apply.applier import Applier
from tellonce.cli.monitor import Monitor
from tellonce.cli.watching import ApplierWatch
from tellonce.cli.wiring import open_applier, open_reconciler, open_relay
from tellonce.topology import load_topology, topics_of
from tellonce.topology.topics import RECONCILER

Read = dict[tuple[str, ...], float]


def read(monitor: Monitor, name: str) -> Read:
    """A metric's samples now, by the values of their labels but for service, department and view."""
    monitor.watch.refresh()
    found: Read = {}
    for family in monitor.meters.registry.collect():
        for sample in family.samples:
            if sample.name == name:
                rest = {k: v for k, v in sample.labels.items() if k not in ("service", "department", "view")}
                found[tuple(rest.values())] = sample.value
    return found


@contextmanager
def watched(city: City, department: str) -> Iterator[tuple[Applier, Monitor]]:
    """A subscriber's applier with what watches it."""
    with ExitStack() as stack:
        yield open_applier(city.settings(department), department, stack)


def test_every_service_compares_the_topics_that_it_writes_and_reads(city: City) -> None:
    """No topic of a service is left out, and none of another's is its business."""
    registry, fund = city.names.registry, city.names.fund
    settings = city.settings(registry)
    city.begin_epoch()
    with ExitStack() as stack:
        opened = {
            registry: open_relay(settings, registry, stack)[1],
            fund: open_applier(city.settings(fund), fund, stack)[1],
            RECONCILER: open_reconciler(settings, stack)[1],
        }

        compared = {name: monitor.drift.topics for name, monitor in opened.items() if monitor.drift is not None}

    specs = topics_of(load_topology(settings.topology))
    assert compared == {
        name: {spec.name for spec in specs if name in {*spec.writers, *spec.readers}} for name in opened
    }


def test_relay_tells_what_waits_and_what_it_published(city: City) -> None:
    """Changes wait in the outbox with their age, and are counted once the broker has them."""
    city.begin_epoch()
    with ExitStack() as stack:
        registry = city.names.registry
        relay, monitor = open_relay(city.settings(registry), registry, stack)
        lease_before = read(monitor, "tellonce_lease_held")
        drive(relay)
        city.add(1, 2, 3)
        waiting = read(monitor, "tellonce_outbox_pending_records"), read(monitor, "tellonce_outbox_oldest_age_seconds")

        drive(relay)

        assert lease_before == {(): 0}
        assert read(monitor, "tellonce_lease_held") == {(): 1}
        assert list(waiting[0].values()) == [3]
        assert 0 <= next(iter(waiting[1].values())) < 60
        assert list(read(monitor, "tellonce_outbox_pending_records").values()) == [0]
        assert read(monitor, "tellonce_staged_events") == {(): 0}
        assert read(monitor, "tellonce_published_events_total")[()] >= 3


def test_relay_tells_what_cannot_be_published(city: City) -> None:
    """A record that is kept back is seen, and is gone from there when it is mended."""
    city.begin_epoch()
    insert = "INSERT INTO resident (resident_id, id_number, name, born) VALUES (1, '1', NULL, '1970-01-01')"
    city.execute(city.names.registry, insert)
    with ExitStack() as stack:
        relay, monitor = open_relay(city.settings(city.names.registry), city.names.registry, stack)
        drive(relay)
        kept_back = read(monitor, "tellonce_unpublished_records")
        city.rename(1, "Zhao Mended")
        drive(relay)

        assert (kept_back, read(monitor, "tellonce_unpublished_records")) == ({(): 1}, {(): 0})


def test_applier_tells_lag_and_outcomes(city: City) -> None:
    """Before anything is assigned the lag is unknown; then it is 0, and what was applied is counted with its delay."""
    city.add(1, 2, 3)
    # It equals its record already, so it need not wait for the snapshot's end.
    city.open_account(id_number(1), name="Wang Fang")
    city.begin_epoch()
    city.publish()
    with watched(city, city.names.fund) as (applier, monitor):
        unknown = read(monitor, "tellonce_lag_known"), read(monitor, "tellonce_lag_records")
        drive(applier)

        assert unknown[0] == {(): 0}
        assert math.isnan(unknown[1][()])
        assert read(monitor, "tellonce_lag_known") == {(): 1}
        assert read(monitor, "tellonce_lag_records") == {(): 0}
        assert read(monitor, "tellonce_lag_seconds")[()] < 1
        assert read(monitor, "tellonce_consumed_events_total")["applied",] == 1
        assert read(monitor, "tellonce_consumed_events_total")["out_of_scope",] == 2
        assert read(monitor, "tellonce_propagation_delay_seconds_count") == {(): 1}
        states = read(monitor, "tellonce_records")
        assert (states["held",], states["out_of_scope",], states["parked",]) == (1, 2, 0)

        monitor.paused()
        assert {name: read_paused(monitor, name) for name in ("tellonce_lag_known", "tellonce_paused")} == {
            "tellonce_lag_known": 0,
            "tellonce_paused": 1,
        }


def read_paused(monitor: Monitor, name: str) -> float:
    """A metric's one value, without asking anybody."""
    (value,) = [s.value for family in monitor.meters.registry.collect() for s in family.samples if s.name == name]
    return value


def test_applier_behind_the_end_says_by_how_much(city: City) -> None:
    """What it has read but not applied counts as lag."""
    city.begin_epoch()
    city.publish()
    with watched(city, city.names.clinic) as (applier, monitor):
        drive(applier)
        city.add(*range(1, 21))
        city.publish()

        # It fetches, and its transaction does not come about.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(applier, "_apply", lambda: False)
            drive(applier, until=lambda: read(monitor, "tellonce_lag_records")[()] >= 20)
        behind = read(monitor, "tellonce_lag_seconds")[()]
        drive(applier)

        assert behind > 0
        assert read(monitor, "tellonce_lag_records") == {(): 0}
        assert read(monitor, "tellonce_lag_seconds")[()] < behind + 1


def test_parked_records_are_told_by_reason(city: City) -> None:
    """A record that cannot be held is counted under its reason, with the time since which it has been."""
    city.add(1)
    city.open_account(id_number(1))
    city.begin_epoch()
    city.run()
    city.rename(1, "N" * 31)
    city.publish()
    with watched(city, city.names.fund) as (applier, monitor):
        none = read(monitor, "tellonce_parked_oldest_timestamp_seconds")
        drive(applier)

        assert math.isnan(none[()])
        parked = {key: value for key, value in read(monitor, "tellonce_parked_records").items() if value}
        assert parked == {("cannot_hold",): 1}
        assert read(monitor, "tellonce_parked_oldest_timestamp_seconds")[()] > 1_700_000_000


def test_reconciler_tells_states_divergences_and_repairs(make_city: MakeCity) -> None:
    """The row that differs is seen under its kind; once it is repaired, ordered and verified both say so."""
    city = make_city(on_divergence="repair")
    city.add(1, 2, 3)
    city.begin_epoch()
    city.run()
    city.execute(
        city.names.clinic, "UPDATE patient SET patient_name = 'Qian' WHERE card_no = :number", number=id_number(2)
    )
    city.reconcile()
    city.run()

    with ExitStack() as stack:
        settings = city.settings(city.names.registry)
        reconciler, monitor = open_reconciler(settings, stack)
        unknown = read(monitor, "tellonce_divergent_records")
        services = [stack.enter_context(city.relay())]
        appliers = [stack.enter_context(city.applier(name)) for name in city.subscribers]
        drive(*services, *appliers)
        assert run_once(reconciler, deadline_seconds=20)

        by_department = {
            (sample.labels["department"], sample.labels["state"]): sample.value
            for family in _refreshed(monitor)
            for sample in family.samples
            if sample.name == "tellonce_streams"
        }
        assert all(map(math.isnan, unknown.values()))
        assert by_department[city.names.clinic, "proved"] == city.terms.partitions
        assert by_department[city.names.clinic, "diverged"] == 0
        verified = {
            sample.labels["department"]: sample.value
            for family in monitor.meters.registry.collect()
            for sample in family.samples
            if sample.name == "tellonce_repairs_verified_total"
        }
        assert verified[city.names.clinic] == 1
        assert read(monitor, "tellonce_mark_timestamp_seconds")[()] > 1_700_000_000


def _refreshed(monitor: Monitor) -> Iterator[Metric]:
    monitor.watch.refresh()
    yield from monitor.meters.registry.collect()


def test_subscription_that_is_late_is_told_once(city: City) -> None:
    """An applier that is behind for longer than its subscription allows says so, and says when it no longer is."""
    city.begin_epoch()
    city.publish()
    with watched(city, city.names.clinic) as (applier, monitor):
        drive(applier)
        read(monitor, "tellonce_lag_seconds")
        city.add(*range(1, 6))
        city.publish()
        assert isinstance(monitor.watch, ApplierWatch)
        ahead = [0.0]
        with pytest.MonkeyPatch.context() as patch, capture_logs() as logs:
            patch.setattr(monitor.watch, "_monotonic", lambda: time.monotonic() + ahead[0])
            patch.setattr(applier, "_apply", lambda: False)
            drive(applier, until=lambda: read(monitor, "tellonce_lag_records")[()] >= 5)
            ahead[0] = 1e6
            monitor.watch.refresh()
            monitor.watch.refresh()
            patch.undo()
            drive(applier)
            monitor.watch.refresh()

        told = [line for line in logs if line["event"].startswith("subscription_")]
        assert [line["event"] for line in told] == ["subscription_late", "subscription_caught_up"]
        # Markers count among the messages that it has not applied.
        assert (told[0]["department"], told[0]["records"] >= 5) == (city.names.clinic, True)
