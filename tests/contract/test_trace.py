"""`tellonce trace` tells where a record's newest change is and where it stops, from topics alone or with a database."""

import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from contract.city import City, Site
from contract.forms import id_number
from kafka_brokers import settings_of
from tellonce.cli.main import app
from tellonce.kafka.reading import read_to_end
from tellonce.kafka.topics import PlanOptions, apply_plan, plan_topics
from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.model.position import render_header
from tellonce.testing.kafka_server import KafkaServer
from tellonce.topology import acls_of, load_topology, topics_of
from tellonce.topology.topics import OPERATOR, RECONCILER

TOO_LONG = "Canary" + "N" * 30


class Trace:
    """The command's answer."""

    def __init__(self, text: str, code: int) -> None:
        self.text, self.code = text, code
        self.document: dict[str, Any] = json.loads(text)
        self.hops = {(each["hop"], each["department"]): each for each in self.document["hops"]}
        self.missing = self.document["missing"]

    def stands(self, city: City) -> dict[str, str]:
        """How each department stands, by its short name."""
        names = {name: name.partition("-")[0] for name in city.departments}
        return {f"{hop} {names[department]}": each["stands"] for (hop, department), each in self.hops.items()}


Ask = Callable[..., Trace]


def environment(city: City, department: str | None = None, kafka: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a host is given: the topology alone, or all that a department's has; and how it reaches the broker."""
    settings = city.settings(department or city.names.registry)
    given: dict[str, object] = {"topology": settings.topology}
    reach = {name: str(getattr(settings.kafka, name)) for name in ("bootstrap_servers", "group_protocol")}
    given |= {f"kafka__{name.replace('.', '_')}": value for name, value in (kafka or reach).items()}
    if department is not None:
        given |= {name: getattr(settings, name) for name in ("schemas", "producers", "consumers", "keys")}
        given["database_url"] = city.urls[department]
    return {f"TELLONCE_{name.upper()}": str(value) for name, value in given.items()}


def run(
    city: City,
    serial: int,
    department: str | None = None,
    *,
    identifier: str | None = None,
    kafka: Mapping[str, str] | None = None,
    seconds: int = 30,
) -> Result:
    """Ask by pseudonym with the topology alone, or on a department's host by the identifier."""
    here = ["--department", department or "", "--identifier-from-stdin"]
    options = ["--pseudonym", city.pseudonym(serial)] if department is None else here
    command = ["trace", city.names.record_type, "--json", "--exit-code", "--timeout", str(seconds), *options]
    given = environment(city, department, kafka)
    result = CliRunner().invoke(app, command, input=f"{identifier or serial}\n", env=given)
    # The command's logs go to a standard error that is closed now.
    structlog.reset_defaults()
    return result


def answer(result: Result) -> Trace:
    """What was answered, by a command that ended by itself."""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Trace(result.stdout, result.exit_code)


@pytest.fixture
def ask(city: City) -> Ask:
    """Asks, and gives the answer."""

    def asked(serial: int, department: str | None = None, identifier: str | None = None) -> Trace:
        return answer(run(city, serial, department, identifier=identifier))

    return asked


def test_record_that_all_have_applied(city: City, ask: Ask) -> None:
    """Every hop has passed, and the numbers are those of the log; seals are checked where the keys are."""
    city.add(1)
    city.begin_epoch()
    city.run()
    (logged,) = [one for one in city.log() if one.key == city.pseudonym(1)]

    anywhere, at_registry, at_clinic = ask(1), ask(1, city.names.registry), ask(1, city.names.clinic)

    passed = {"topic of registry": "passed", "subscriber fund": "passed", "subscriber clinic": "passed"}
    assert anywhere.stands(city) == at_clinic.stands(city) == passed
    assert at_registry.stands(city) == {"authority registry": "passed", **passed}
    assert {(each.code, each.missing) for each in (anywhere, at_registry, at_clinic)} == {(0, None)}
    hop = anywhere.hops["topic of", city.names.registry]
    assert (hop["partition"], hop["offset"]) == (logged.partition, logged.offset)
    header = logged.header
    assert [hop[name] for name in ("epoch", "version", "sequence", "settled")] == [
        header.epoch,
        header.version,
        header.sequence,
        header.settled,
    ]
    seals = [each.hops["topic of", city.names.registry]["seal"] for each in (anywhere, at_clinic)]
    assert seals == ["no key here", "checked"]
    assert at_clinic.hops["subscriber", city.names.clinic]["says"] == "held"


def test_applier_that_is_stopped(city: City, ask: Ask) -> None:
    """The department that has not applied the change is the first missing link, here and on its own host."""
    city.add(1, 2)
    city.begin_epoch()
    city.run()
    city.rename(1, "Wang Other")
    city.publish()
    city.apply(city.names.fund)

    anywhere, at_clinic = ask(1), ask(1, city.names.clinic)

    assert anywhere.stands(city)["subscriber fund"] == "passed"
    for each, todo in ((anywhere, "tellonce status"), (at_clinic, f"tellonce consume {city.names.clinic}")):
        assert (each.missing["department"], each.missing["stands"]) == (city.names.clinic, "missing")
        assert (each.missing["todo"], each.code) == (todo, 1)
    assert ask(2, city.names.clinic).missing is None


def test_record_that_is_parked(city: City, ask: Ask) -> None:
    """On the department's host its reason is told; elsewhere who differs is known once the reconciler names it."""
    fund = city.names.fund
    city.add(1, name=TOO_LONG)
    city.open_account(id_number(1))
    city.begin_epoch()
    city.run()

    before, at_fund = ask(1), ask(1, fund)
    city.reconcile()
    after = ask(1)

    todo = f"tellonce parked list --view {city.names.view}"
    assert (at_fund.missing["department"], at_fund.missing["stands"], at_fund.missing["todo"]) == (
        fund,
        "missing",
        todo,
    )
    assert "cannot_hold" in at_fund.missing["says"]
    assert (before.missing["department"], before.missing["stands"], before.missing["todo"]) == (fund, "unknown", todo)
    assert (after.missing["department"], after.missing["stands"], after.missing["todo"]) == (fund, "differs", todo)
    assert (at_fund.code, before.code, after.code) == (1, 1, 6)
    assert not [each for each in (before, at_fund, after) if "Canary" in each.text or id_number(1) in each.text]


def test_change_that_was_never_published(city: City, ask: Ask) -> None:
    """The authority's hop says whether an epoch, the relay or the record itself is what keeps it back."""
    registry = city.names.registry
    city.add(1)
    no_epoch = ask(1, registry)
    city.begin_epoch()
    waits = ask(1, registry)
    city.run()
    insert = "INSERT INTO resident (resident_id, id_number, name, born) VALUES (71077, '1', NULL, '1970-01-01')"
    city.execute(registry, insert)
    city.publish()

    unpublished, elsewhere = ask(71077, registry), ask(71077)

    assert no_epoch.missing["todo"] == f"tellonce snapshot {registry}"
    assert waits.missing["todo"] == f"tellonce relay {registry}"
    assert unpublished.missing["todo"] == f"tellonce unpublished {registry}"
    assert {each.missing["hop"] for each in (no_epoch, waits, unpublished)} == {"authority"}
    assert (elsewhere.missing["hop"], elsewhere.missing["department"]) == ("topic of", registry)
    assert "71077" not in unpublished.text


def test_record_that_nobody_knows(city: City, ask: Ask) -> None:
    """A key that no row has is told as such, and never as applied."""
    city.add(1)
    city.begin_epoch()
    city.run()

    at_registry, anywhere = ask(404, city.names.registry), ask(404)
    no_number = ask(0, city.names.registry, "canary-person")

    assert "no" in at_registry.missing["says"]
    assert (at_registry.missing["hop"], anywhere.missing["hop"]) == ("authority", "topic of")
    assert no_number.missing["says"] == at_registry.missing["says"]
    assert "canary" not in no_number.text
    assert "passed" not in {*anywhere.stands(city).values(), *at_registry.stands(city).values()}


def test_trace_writes_nothing(city: City, ask: Ask) -> None:
    """No topic is longer after it was asked."""
    city.add(1)
    city.begin_epoch()
    city.run()
    topology = load_topology(city.settings(city.names.registry).topology)

    def lengths() -> list[int]:
        return [len(list(read_to_end(city.kafka, spec.name))) for spec in topics_of(topology)]

    before = lengths()
    ask(1)
    ask(1, city.names.clinic)

    assert lengths() == before


def test_forged_event_is_no_change(city: City, ask: Ask) -> None:
    """Where the view's key is, a message without the authority's seal is counted, and not taken for the newest."""
    city.add(1)
    city.begin_epoch()
    city.run()
    (logged,) = [one for one in city.log() if one.key == city.pseudonym(1)]
    forged = replace(logged.header, sequence=logged.header.sequence + 50, version=9)
    city.send_again(replace(logged, sealed=render_header(forged, "0" * 32)))

    with_key, without = (ask(1, *host).hops["topic of", city.names.registry] for host in ([city.names.clinic], []))

    assert (with_key["version"], with_key["seal"]) == (logged.header.version, "checked")
    assert "1 messages without" in with_key["says"]
    assert (without["version"], without["seal"]) == (9, "no key here")


def test_topic_that_may_not_be_read_is_unknown(city: City, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hop whose topic is closed to this user is never taken as passed, and the others are told all the same."""
    city.add(1)
    city.begin_epoch()
    city.run()

    def closed(_settings: object, *, reads: Sequence[str], client_id: str) -> None:
        if city.topic in reads:
            msg = f"{client_id} may not read it"
            raise ConfigurationError(msg)

    monkeypatch.setattr("tellonce.cli.trace_sources.check_connection", closed)
    anywhere, at_registry = ask(1), ask(1, city.names.registry)

    assert set(anywhere.stands(city).values()) == {"unknown"}
    assert "may not read" in anywhere.missing["says"]
    assert at_registry.stands(city) == {
        "authority registry": "passed",
        "topic of registry": "unknown",
        "subscriber fund": "passed",
        "subscriber clinic": "passed",
    }


@pytest.mark.parametrize(
    "options",
    [["--pseudonym", "canary"], ["--identifier-from-stdin"], [], ["--pseudonym", "0" * 32, "--identifier-from-stdin"]],
)
def test_wrong_options_are_refused_and_not_repeated(
    city: City, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may be an identifier that was mistaken for a pseudonym is in no message."""
    monkeypatch.setenv("TELLONCE_TOPOLOGY", str(city.settings(city.names.registry).topology))

    result = CliRunner().invoke(app, ["trace", city.names.record_type, *options], input="canary\n")

    assert isinstance(result.exception, ConfigurationError)
    assert "canary" not in f"{result.output} {result.exception}"


@pytest.fixture
def secured_city(secure_kafka: KafkaServer, tmp_path: Path) -> Iterator[City]:
    """A city on a broker with the topology's access rules; each principal has a user of its own name."""
    site = Site(
        kafka=settings_of(secure_kafka),
        new_database=lambda name: f"sqlite:///{tmp_path / name}.db",
        copy_database=lambda url, _name: url,
    )
    with City(tmp_path, site) as made:
        topology = load_topology(made.settings(made.names.registry).topology)
        users = {name: f"{name}-{made.names.tag}" for name in (*made.departments, RECONCILER, OPERATOR)}
        for user in users.values():
            secure_kafka.add_user(user, f"word-of-{user}")
        options = PlanOptions(principals={name: f"User:{user}" for name, user in users.items()})
        apply_plan(made.kafka, plan_topics(made.kafka, topics_of(topology), acls_of(topology), options))
        yield made


@pytest.mark.kafka
def test_rights_of_each_principal_suffice_for_what_is_its_business(
    secured_city: City, secure_kafka: KafkaServer
) -> None:
    """A department sees its view and its own tables, operators see no view; what is closed is never taken as passed."""
    city = secured_city
    city.add(1)
    city.begin_epoch()
    city.run()
    registry, fund, clinic = city.departments

    def stands(principal: str, department: str | None = None) -> dict[str, str]:
        kafka = secure_kafka.client_settings(f"{principal}-{city.names.tag}")
        return answer(run(city, 1, department, kafka=kafka)).stands(city)

    unknown = {"subscriber fund": "unknown", "subscriber clinic": "unknown"}
    assert stands(registry, registry) == {"authority registry": "passed", "topic of registry": "passed", **unknown}
    assert stands(clinic, clinic) == {"topic of registry": "passed", **unknown, "subscriber clinic": "passed"}
    assert stands(fund, fund) == {"topic of registry": "passed", **unknown, "subscriber fund": "passed"}
    assert stands(clinic) == {"topic of registry": "passed", **unknown}
    assert stands(OPERATOR) == {"topic of registry": "unknown", **unknown}


ON_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


def test_identifier_is_asked_for_on_a_terminal_and_not_shown(city: City) -> None:
    """What a person types is on no screen, in no list of processes, and found all the same."""
    key, registry = 2_047_483_641, city.names.registry
    insert = "INSERT INTO resident (resident_id, id_number, name, born) VALUES (:id, :number, 'Wang', :born)"
    city.execute(registry, insert, id=key, number=id_number(1), born=city.date_of(registry))
    city.begin_epoch()
    city.run()
    options = ["--department", registry, "--identifier-from-stdin", "--json", "--exit-code", "--timeout", "30"]
    command = [sys.executable, "-m", "tellonce", "trace", city.names.record_type, *options]
    screen = b""

    with subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, *command],
        env=os.environ | environment(city, registry) | {"TELLONCE_LOG_LEVEL": "error"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while b"Identifier: " not in screen and (more := process.stdout.read(1)):
            screen += more
        process.stdin.write(f"{key}\n".encode())
        screen += process.stdout.read()

    _, asked, after = screen.decode().partition("Identifier: ")
    found = Trace(after[after.index("{") :], process.returncode)
    assert asked
    assert str(key) not in screen.decode()
    assert found.hops["authority", registry]["pseudonym"] == city.pseudonym(key)
    assert (found.missing, found.code) == (None, 0)


# Killing the real one takes long, and the client is the same.
@pytest.mark.parametrize("site", ["embedded-sqlite"], indirect=True)
@pytest.mark.parametrize(
    "moment",
    ["read_log", *(pytest.param(one, marks=pytest.mark.long) for one in ("hear_departments", "KafkaChannel.hear"))],
)
def test_broker_that_goes_away_midway_is_told(
    city: City,
    moment: str,
    broker_away: Callable[[], None],
    broker_back: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever was read by then, the command says that the broker is away, and shows nothing half known."""
    city.add(1)
    city.begin_epoch()
    city.run()
    place, _, name = f"tellonce.cli.trace_sources.{moment}".rpartition(".")
    owner = pkgutil.resolve_name(place)
    going_on = getattr(owner, name)

    def go_away(*given: Any) -> Any:
        monkeypatch.setattr(owner, name, going_on)
        broker_away()
        return going_on(*given)

    monkeypatch.setattr(owner, name, go_away)
    result = run(city, 1, seconds=15)
    broker_back()

    assert isinstance(result.exception, RetryableError)
    assert "start the broker" in str(result.exception)
    assert not result.stdout
