"""Putting the services together from settings: the one place that knows every part."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

from confluent_kafka import Producer
from sqlalchemy import Engine

from tellonce.apply.applier import Applier, ApplierSettings
from tellonce.apply.shadow import Shadow
from tellonce.avro import FieldSpec
from tellonce.avro.catalogue import Catalogue
from tellonce.cli.contract import Contract, load_contract, require_department
from tellonce.cli.heartbeat import Hearing
from tellonce.cli.meters import applier_meters, reconciler_meters, relay_meters
from tellonce.cli.monitor import Monitor, make_monitor
from tellonce.cli.ports import bury, read_log_ends
from tellonce.cli.settings import Settings
from tellonce.cli.subscribing import subscriber_of
from tellonce.cli.topic_drift import DriftWatch
from tellonce.cli.watching import ApplierWatch, ReconcilerWatch, RelayWatch
from tellonce.control.signing import Signatures
from tellonce.declare import Source, load_source
from tellonce.kafka.channel import KafkaChannel
from tellonce.kafka.clients import make_consumer, make_producer
from tellonce.kafka.connection import check_connection
from tellonce.kafka.group import GroupReader, ReadMessage, read_message
from tellonce.kafka.reading import read_to_end
from tellonce.keyring import ViewKeys, load_signing_key, load_view_keys
from tellonce.model.errors import ConfigurationError
from tellonce.observability.metrics import RECONCILER_DEPARTMENT, Service
from tellonce.publish.cycle import CycleSettings, PublishingCycle
from tellonce.publish.images import Publication
from tellonce.publish.relay import Relay, RelaySettings, ViewLog
from tellonce.publish.send import Sender
from tellonce.publish.stage import Stager
from tellonce.publish.staged import StageLimits
from tellonce.publish.streams import PublishedView, published_views
from tellonce.reconcile.core import Core
from tellonce.reconcile.policy import load_policy
from tellonce.reconcile.service import Reconciler
from tellonce.storage.database import open_database
from tellonce.storage.lease import new_holder
from tellonce.storage.outbox import Outbox
from tellonce.storage.own_schema import check_own_schema
from tellonce.storage.stores import department_store
from tellonce.topology import Topology, load_topology
from tellonce.topology.topics import (
    OPERATOR,
    RECONCILER,
    answers,
    attestations,
    divergences,
    evidence,
    group_of,
    heartbeats,
    inquiries,
    marks,
    order_speakers,
    orders,
    publishers,
    repairs,
    subscribers,
)

__all__ = [
    "Authority",
    "Contract",
    "authority_of",
    "declared_sources",
    "engine_of",
    "load_contract",
    "open_applier",
    "open_reconciler",
    "open_relay",
    "open_shadow",
    "require_department",
    "signatures_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A publishing department's part: its sources, the views of each, and what publishes them."""

    sources: Sequence[Source]
    publications: Sequence[Publication]

    @property
    def views(self) -> list[PublishedView]:
        """Every view that the department publishes."""
        return [view for publication in self.publications for view in publication.views]


def signatures_of(settings: Settings, topology: Topology, speaker: str, *, speaks: bool = True) -> Signatures:
    """Gives what a principal signs with and knows the others by; who only listens needs no key of its own.

    Raises:
        ConfigurationError: the topology lists a key of the principal, and the secret one is missing or another's.
    """
    signatures = Signatures(topology.signing_keys, speaker, partial(load_signing_key, settings.keys, speaker))
    if speaks:
        signatures.own()
    return signatures


def declared_sources(settings: Settings, contract: Contract, department: str) -> Sequence[Source]:
    """Gives the sources that a department declares, none if it publishes nothing.

    Raises:
        ConfigurationError: a declaration is wrong.
    """
    require_department(contract, department)
    return load_source(settings.producers, department) if contract.topology.published_by(department) else ()


def authority_of(settings: Settings, contract: Contract, department: str, engine: Engine) -> Authority:
    """Gives what a department publishes.

    Raises:
        ConfigurationError: it publishes nothing, or its declarations or keys are wrong.
    """
    require_department(contract, department)
    published = contract.topology.published_by(department)
    if not published:
        msg = f"{department} is the authority of no record type, so it has nothing to publish"
        raise ConfigurationError(msg, department=department)
    keys: Mapping[str, ViewKeys] = {view.name: load_view_keys(settings.keys, view.name) for view in published}
    sources = load_source(settings.producers, department)
    record_keys = {source.record_type: source.key for source in sources}
    views = published_views(published, contract.catalogue, keys, record_keys)
    publications = [
        Publication(
            source=source,
            outbox=Outbox(source, engine.dialect.name),
            specs=_specs_of(contract.catalogue, source, views),
            views=[view for view in views if view.view.record_type == source.record_type],
        )
        for source in sources
    ]
    return Authority(sources=sources, publications=publications)


def _specs_of(catalogue: Catalogue, source: Source, views: Sequence[PublishedView]) -> list[FieldSpec]:
    """Gives the fields of a record type that some view publishes."""
    found = {
        spec.name: spec
        for view in views
        if view.view.record_type == source.record_type
        for spec in catalogue.view_schema(view.name).fields
    }
    return list(found.values())


_RELAY_TUNING = {
    # A topic that is gone is told after 1 s and not after librdkafka's 30 s: until then, or until the message's time is
    # over, every other stream of the send waits, and its error is that of a broker that is away.
    "topic.metadata.propagation.max.ms": "1000",
}


def open_relay(settings: Settings, department: str, stack: ExitStack) -> tuple[Relay, Monitor]:
    """Gives a department's relay, connected, with what watches it; `stack` closes what was opened.

    Raises:
        ConfigurationError: settings, contract, declarations or the installation are wrong.
        RetryableError: database or broker is away.
    """
    contract = load_contract(settings)
    engine = engine_of(settings, stack)
    authority = authority_of(settings, contract, department, engine)
    topics = {view.name: view.view.topic for view in authority.views}
    kafka = settings.kafka
    ordering = [orders(speaker) for speaker in order_speakers(contract.topology, department)]
    reads = [*ordering, inquiries(department)]
    writes = [marks(department), answers(department), heartbeats(department)]
    # A view's topic that is missing or closed keeps its own streams waiting, and nothing else.
    check_connection(kafka, reads=reads, writes=writes)
    check_own_schema(engine, department)
    name = f"tellonce-relay-{department}"
    signatures = signatures_of(settings, contract.topology, department)
    channel = stack.enter_context(KafkaChannel(kafka, department, name, signatures))
    cycle_settings = CycleSettings(
        department=department,
        holder=new_holder(),
        lease_seconds=kafka.lease_seconds,
        message_timeout_seconds=kafka.message_timeout_seconds,
    )
    limits = StageLimits(max_event_bytes=kafka.max_event_bytes)
    seals = {stream: seal for view in authority.views for stream, seal in view.seals().items()}
    sending = kafka.model_copy(update={"extra": {**_RELAY_TUNING, **kafka.extra}})

    def producer() -> Producer:
        return make_producer(sending, name, connected=True)

    sender = Sender(producer, topics, seals, time.monotonic, kafka.message_timeout_seconds)
    stager = Stager(department, authority.publications, contract.catalogue, limits)
    cycle = PublishingCycle(cycle_settings, engine, sender, stager, authority.views, contract.catalogue)
    log = ViewLog(
        read_ends=lambda streams, renew: read_log_ends(kafka, f"{name}-ends", topics, seals, streams, renew),
        bury=partial(bury, kafka, f"{name}-nulls", topics, seals),
    )
    meters = relay_meters(department, contract.topology)
    watch = RelayWatch(meters, department, engine, authority.publications)
    monitor = make_monitor(
        settings, Service.RELAY, department, contract.catalogue.fingerprint(), meters, watch, signatures, stack
    )
    relay = watch.relay = Relay(
        RelaySettings(department=department, sweep_interval_seconds=settings.sweep_interval_seconds),
        engine,
        cycle,
        authority.publications,
        channel,
        log,
        on_turn=watch.turned,
    )
    monitor.refused = lambda: channel.refused
    stack.callback(relay.close)
    monitor.drift = DriftWatch(
        meters, Service.RELAY, department, contract.topology, {*reads, *writes, *topics.values()}, kafka
    )
    monitor.sweeps = lambda: relay.sweeps
    return relay, monitor


def open_applier(settings: Settings, department: str, stack: ExitStack) -> tuple[Applier, Monitor]:
    """Gives a department's applier, connected, with what watches it; `stack` closes what was opened.

    Raises:
        ConfigurationError: settings, contract, declarations, tables or the installation are wrong.
        RetryableError: database or broker is away.
    """
    contract = load_contract(settings)
    engine = engine_of(settings, stack)
    views = subscriber_of(settings, contract, department, engine)
    topics = [view.view.topic for view in views]
    kafka = settings.kafka
    reads = [inquiries(department), repairs(department), *topics]
    writes = [make(department) for make in (attestations, answers, heartbeats, orders)]
    check_connection(kafka, reads=reads, writes=writes)
    check_own_schema(engine, department)
    name = f"tellonce-applier-{department}"
    signatures = signatures_of(settings, contract.topology, department)
    channel = stack.enter_context(KafkaChannel(kafka, department, name, signatures))

    def make_reader(applier: Applier) -> GroupReader:
        return GroupReader(
            make_consumer(kafka, name, group_of(department)),
            topics,
            start_of=applier.start_of,
            forget=applier.forget,
            trouble_with=applier.stop_reading,
        )

    meters = applier_meters(department, contract.topology)
    watch = ApplierWatch(
        meters,
        department,
        engine,
        {each.view: float(each.freshness_seconds) for each in contract.topology.subscribed_by(department)},
    )
    monitor = make_monitor(
        settings, Service.APPLIER, department, contract.catalogue.fingerprint(), meters, watch, signatures, stack
    )
    monitor.refused = lambda: channel.refused
    applier = watch.applier = Applier(
        ApplierSettings(department=department, sweep_interval_seconds=settings.sweep_interval_seconds),
        department_store(engine),
        views,
        contract.catalogue,
        make_reader,
        channel,
        on_applied=watch.applied,
    )
    stack.callback(applier.close)
    monitor.drift = DriftWatch(meters, Service.APPLIER, department, contract.topology, {*reads, *writes}, kafka)
    monitor.is_ready, monitor.sweeps = lambda: applier.is_ready, lambda: applier.sweeps
    return applier, monitor


def engine_of(settings: Settings, stack: ExitStack) -> Engine:
    """Gives the department's database; `stack` closes its connections."""
    engine = open_database(settings.database())
    stack.callback(engine.dispose)
    return engine


def open_shadow(settings: Settings, department: str, stack: ExitStack) -> Shadow:
    """Gives what looks at a department's subscribed views without applying them.

    Raises:
        ConfigurationError: settings, contract, declarations, tables or the installation are wrong.
        RetryableError: database or broker is away.
    """
    contract = load_contract(settings)
    engine = engine_of(settings, stack)
    views = subscriber_of(settings, contract, department, engine)
    check_connection(settings.kafka, reads=[view.view.topic for view in views])
    check_own_schema(engine, department)

    def read_topic(topic: str) -> Iterator[tuple[int, ReadMessage]]:
        for message in read_to_end(settings.kafka, topic, client_id=f"tellonce-shadow-{department}"):
            yield int(message.partition() or 0), read_message(message)

    return Shadow(views, contract.catalogue, read_topic)


def open_reconciler(settings: Settings, stack: ExitStack) -> tuple[Reconciler, Monitor]:
    """Gives the reconciler, connected, with what watches it; `stack` closes what was opened.

    Raises:
        ConfigurationError: settings, topology or policy are wrong, or a topic is missing or forbidden.
        RetryableError: the broker is away.
    """
    topology = load_topology(settings.topology)
    publishing, subscribing = publishers(topology), subscribers(topology)
    active = [name for name in topology.departments if name in {*publishing, *subscribing}]
    heard = [heartbeats(department) for department in active]
    reads = [
        *(divergences(RECONCILER), divergences(OPERATOR), *heard),
        *(marks(department) for department in publishing),
        *(attestations(department) for department in subscribing),
        *(answers(department) for department in active),
    ]
    writes = [
        *(make(RECONCILER) for make in (orders, divergences, evidence, heartbeats)),
        *(inquiries(department) for department in active),
        *(repairs(department) for department in subscribing),
    ]
    check_connection(settings.kafka, reads=reads, writes=writes)
    core = Core(topology, load_policy(settings.consumers), new_id=lambda: uuid4().hex)
    meters = reconciler_meters(topology)
    signatures = signatures_of(settings, topology, RECONCILER)
    channel = stack.enter_context(KafkaChannel(settings.kafka, RECONCILER, RECONCILER, signatures))
    watch = ReconcilerWatch(meters, topology, Hearing(meters, topology, channel))
    monitor = make_monitor(settings, Service.RECONCILER, RECONCILER_DEPARTMENT, "", meters, watch, signatures, stack)
    reconciler = watch.reconciler = Reconciler(core, topology, channel, on_written=watch.wrote)
    monitor.is_ready = lambda: reconciler.is_loaded
    monitor.refused = lambda: channel.refused
    monitor.drift = DriftWatch(
        meters, Service.RECONCILER, RECONCILER_DEPARTMENT, topology, {*reads, *writes}, settings.kafka
    )
    return reconciler, monitor
