"""The department's database as its services will meet it; everything is read, and nothing is locked or written."""

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from tellonce.cli.doctor.checks import Check, Finding, fail, joined, ok, warn
from tellonce.cli.doctor.host import Host
from tellonce.cli.doctor.probes import Budget, Listener, Probes, within
from tellonce.keyring import load_view_keys
from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.observability.metrics import PORTS, Service
from tellonce.storage.capture import verify
from tellonce.storage.database import OWN_SCHEMA, clock_ms, reading, sqlstate_of
from tellonce.storage.own_schema import check_own_schema, own_table_names
from tellonce.storage.postgres_catalog import quoted_table
from tellonce.storage.stores import judge_table
from tellonce.storage.subscriber.view import BoundView

__all__ = ["DATABASE_SECONDS", "MOST_CLOCK_MS", "DatabaseChecks"]

DATABASE_SECONDS = {"database": 2.0, "query": 2.0, "metrics port": 0.5}
"""The longest that connecting, each further check, and a look at a port may take."""

MOST_CLOCK_MS = 5_000
"""How far this machine's clock may be from the database's; delays and lags are wrong by as much."""

_FORBIDDEN = "42501"
_URL = "TELLONCE_DATABASE_URL"

T = TypeVar("T")


class DatabaseChecks:
    """The checks of one department's database, and of the ports at which its services are watched."""

    def __init__(self, host: Host, probes: Probes, budget: Budget) -> None:
        """Look at nothing yet."""
        self._host = host
        self._probes = probes
        self._budget = budget

    @cached_property
    def _engine(self) -> Engine:
        return self._probes.open_database(self._host.settings.database(), self._limit("database"))

    def close(self) -> None:
        """Close the connections."""
        if "_engine" in self.__dict__:
            self._engine.dispose()

    def checks(self) -> list[Check]:
        """Gives the checks of the department's database, in order."""
        install = f"tellonce install {self._host.department}"
        ready = ("database", "own tables")
        return [
            Check(name="database", run=self._check_database, remedy=_URL, needs=("settings", "department")),
            Check(name="clock", run=self._check_clock, remedy="set the clock by NTP", needs=("database",)),
            Check(name="own tables", run=self._check_own_tables, remedy=install, needs=("database",)),
            Check(name="tables", run=self._check_tables, remedy="GRANT", needs=("database", "declarations", "keys")),
            Check(name="capture", run=self._check_capture, remedy=install, needs=(*ready, "declarations")),
            Check(
                name="metrics port",
                run=self._check_ports,
                remedy="TELLONCE_METRICS_PORT",
                needs=("settings", "department"),
            ),
        ]

    def _limit(self, step: str) -> float:
        return self._budget.limit(DATABASE_SECONDS[step])

    def _ask(self, work: Callable[[], T], step: str = "query") -> T:
        """Gives what a look at the database gives, within its limit."""
        limit = self._limit(step)
        try:
            return within(limit, work)
        except TimeoutError as error:
            where = self._engine.url.render_as_string(hide_password=True)
            msg = f"expected the database {where} to answer within {limit:.1f} s, found no answer; see that it runs"
            raise RetryableError(msg) from error
        except DBAPIError as error:
            if sqlstate_of(error) != _FORBIDDEN:
                raise
            msg = "expected the right to look at our schema and the declared tables, found it missing; grant it"
            raise ConfigurationError(msg) from error

    def _check_database(self) -> Finding:
        path = _sqlite_file(self._engine)
        if path is not None and not path.is_file():
            # To connect would make it.
            msg = f"expected the department's database in {path}, found no such file; correct {_URL}"
            raise RetryableError(msg)
        if path is not None and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
            msg = f"expected {path} and its folder to be writable by this user, found that they are not"
            return fail(msg, f"chmod u+w {path} {path.parent}")

        def select_one() -> None:
            with reading(self._engine) as connection:
                connection.execute(text("SELECT 1"))

        self._ask(select_one, "database")
        return ok(f"{self._engine.url.render_as_string(hide_password=True)} answers")

    def _check_clock(self) -> Finding:
        def look() -> tuple[int, int, int]:
            with reading(self._engine) as connection:
                return self._probes.now_ms(), clock_ms(connection), self._probes.now_ms()

        before_ms, theirs_ms, after_ms = self._ask(look)
        ahead_ms = (before_ms + after_ms) // 2 - theirs_ms
        if abs(ahead_ms) > MOST_CLOCK_MS:
            direction = "ahead of" if ahead_ms > 0 else "behind"
            msg = f"this machine's clock is {abs(ahead_ms) / 1000:.0f} s {direction} the database's"
            return warn(f"{msg}; delays and lags will be wrong by as much", "set both clocks by NTP")
        return ok(f"this machine's clock and the database's agree to within {MOST_CLOCK_MS // 1000} s")

    def _check_own_tables(self) -> Finding:
        department, engine = self._host.department or "", self._engine
        self._ask(lambda: check_own_schema(engine, department))
        if engine.dialect.name == "postgresql":
            lacking = self._ask(self._own_rights_lacking)
            if lacking:
                return fail(f"the database's user lacks {joined(lacking)}", f"GRANT {lacking[0]}")
        return ok("tellonce's own tables are there, as this release makes them")

    def _own_rights_lacking(self) -> list[str]:
        with reading(self._engine) as connection:
            if not _is_true(connection, "SELECT has_schema_privilege(:name, 'USAGE')", name=OWN_SCHEMA):
                return [f"USAGE ON SCHEMA {OWN_SCHEMA}"]
            return [
                f"{right} ON {name}"
                for name in own_table_names("postgresql")
                for right in ("SELECT", "INSERT", "UPDATE", "DELETE")
                if not _is_true(connection, "SELECT has_table_privilege(:name, :right)", name=name, right=right)
            ]

    def _check_tables(self) -> Finding:
        refused, told = self._ask(self._judge_tables)
        if refused:
            return fail(joined(refused), refused[0].rpartition("; ")[2])
        lacking = self._ask(self._sources_lacking) if self._engine.dialect.name == "postgresql" else []
        if lacking:
            return fail(f"the database's user lacks {joined(lacking)}", f"GRANT {lacking[0]}")
        count = len(self._host.bindings) + len(self._host.sources)
        return ok(joined([f"declarations whose tables and rights are there: {count}", *told]))

    def _judge_tables(self) -> tuple[list[str], list[str]]:
        """Gives what keeps a subscribed view from its table, and what is only told."""
        refused, told = list[str](), list[str]()
        for binding in self._host.bindings:
            keys = load_view_keys(self._host.settings.keys, binding.view)
            schema = self._host.catalogue.view_schema(binding.view)
            found = judge_table(self._engine, BoundView(schema=schema, keys=keys, binding=binding))
            refused += [f"{binding.place}: {sentence}" for sentence in found.refused]
            told += [f"{binding.place}: {sentence}" for sentence in found.told]
        return refused, told

    def _sources_lacking(self) -> list[str]:
        with reading(self._engine) as connection:
            return [
                f"SELECT ON {source.table}"
                for source in self._host.sources
                if not _may(connection, source.table, "SELECT")
            ]

    def _check_capture(self) -> Finding:
        sources, engine = self._host.sources, self._engine
        if not sources:
            return ok("nothing is published, so nothing is captured")
        found = [finding.sentence for finding in self._ask(lambda: verify(engine, sources))]
        if found:
            return fail(joined(found), f"tellonce install {self._host.department}")
        return ok(f"tables captured as `install` made it: {len(sources)}")

    def _check_ports(self) -> Finding:
        settings, told = self._host.settings, list[str]()
        roles = {Service.RELAY: self._host.published, Service.APPLIER: self._host.subscribed}
        for service in (service for service, views in roles.items() if views):
            port = PORTS[service] if settings.metrics_port is None else settings.metrics_port
            if port == 0:
                told.append(f"the {service.value} takes a free port")
                continue
            where = f"{settings.metrics_host}:{port}"
            match self._probes.listener_at(settings.metrics_host, port, self._limit("metrics port")):
                case Listener.NOBODY:
                    told.append(f"{where} is free for the {service.value}")
                case Listener.TELLONCE:
                    told.append(f"a service of tellonce answers at {where}")
                case Listener.SOMEBODY:
                    return fail(f"expected {where} to be free, found another program there", "TELLONCE_METRICS_PORT")
                case Listener.FORBIDDEN:
                    msg = f"expected to serve metrics at {where}, found that nobody can listen there"
                    return fail(msg, "TELLONCE_METRICS_HOST, TELLONCE_METRICS_PORT")
        return ok(joined(told) or "no service runs here, so none serves metrics")


def _sqlite_file(engine: Engine) -> Path | None:
    name = engine.url.database
    return Path(name) if engine.dialect.name == "sqlite" and name and name != ":memory:" else None


def _is_true(connection: Connection, statement: str, **values: str) -> bool:
    return bool(connection.execute(text(statement), values).scalar_one())


def _may(connection: Connection, table: str, right: str) -> bool:
    # A table that is not there has no rights; that is told where it is looked up.
    statement = "SELECT coalesce(has_table_privilege(to_regclass(:name), :right), true)"
    return _is_true(connection, statement, name=quoted_table(table), right=right)
