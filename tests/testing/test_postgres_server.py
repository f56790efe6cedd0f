"""The real PostgreSQL that other tests rely on."""

import os
import subprocess
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.testing import postgres_server as module
from tellonce.testing.postgres_server import PostgresServer, PostgresSettings, find_postgres

pytestmark = pytest.mark.postgres


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        engine.dispose()


def test_postgres_database_is_empty_and_usable(postgres_database: str) -> None:
    """Each test gets a database of its own in which nobody has made anything."""
    run(postgres_database, "create table record (number integer)")
    run(postgres_database, "insert into record values (7)")

    assert run(postgres_database, "select number from record") == [(7,)]
    assert run(postgres_database, "select count(*) from pg_tables where schemaname = 'public'") == [(1,)]


def test_postgres_asks_for_its_password(postgres: PostgresServer) -> None:
    """Connections over TCP and over the socket are refused without the generated password."""
    url = make_url(postgres.url())

    for host in ("127.0.0.1", str(postgres.folder)):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(host=host, port=postgres.port, user=url.username, password="wrong", dbname="postgres")


def test_postgres_does_not_run_as_root(postgres: PostgresServer) -> None:
    """A root's test run lends the server to an unprivileged user, with none of root's groups."""
    status = Path(f"/proc/{postgres.pid}/status").read_text(encoding="utf-8")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)

    assert "0" not in facts["Uid"].split()
    assert "0" not in facts["Groups"].split()


def test_postgres_keeps_port_and_commits_through_a_crash() -> None:
    """What a killed server had acknowledged is there when it comes back on its port, even with fsync off."""
    with PostgresServer() as server:
        url = server.create_database("crash")
        run(url, "create table record (number integer)")
        run(url, "insert into record values (7)")

        server.kill()
        was_running = server.is_running()
        server.start()

        assert not was_running
        assert run(url, "select number from record") == [(7,)]


def test_postgres_restart_ends_open_sessions_and_goes_on() -> None:
    """A clean restart does not wait for clients to leave."""
    with PostgresServer() as server, psycopg.connect(server.url().replace("+psycopg", "")) as open_session:
        server.restart()

        assert run(server.url(), "select 1") == [(1,)]
        with pytest.raises(psycopg.OperationalError):
            open_session.execute("select 1")
        log = (server.folder / "server.log").read_text(encoding="utf-8")
        assert "not properly shut down" not in log


@pytest.mark.parametrize(("fsync", "shown"), [(True, "on"), (False, "off")])
def test_postgres_takes_its_settings(fsync: bool, shown: str) -> None:
    """Durability is as asked for, or a power loss test would prove nothing; a commit always waits for its record."""
    settings = PostgresSettings(fsync=fsync, properties=(("work_mem", "8MB"),))

    with PostgresServer(settings) as server:
        values = {name: run(server.url(), f"show {name}")[0][0] for name in ("fsync", "work_mem", "synchronous_commit")}

    assert values == {"fsync": shown, "work_mem": "8MB", "synchronous_commit": "on"}


def test_postgres_leaves_no_folder_and_no_process_behind() -> None:
    """A closed server removes its data and ends its process."""
    server = PostgresServer()
    server.start()
    folder, pid = server.folder, server.pid
    assert pid is not None

    server.close()

    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_two_databases_of_one_name_are_refused(postgres: PostgresServer) -> None:
    """A test never gets a database that another has filled."""
    postgres.create_database("taken twice")

    with pytest.raises(RetryableError, match="already exists"):
        postgres.create_database("taken twice")

    postgres.drop_database("taken twice")


def test_failed_start_tells_the_servers_own_reason() -> None:
    """A setting that PostgreSQL refuses is named in the error, not hidden in a log of a removed folder."""
    with (
        pytest.raises(RetryableError, match=r"(?s)ended by itself, with exit code 1, .*no_such_setting"),
        PostgresServer(PostgresSettings(properties=(("no_such_setting", "1"),))),
    ):
        pass


def test_missing_postgres_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without PostgreSQL the reader learns what to install and where it was looked for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "SYSTEM_FOLDER", tmp_path)

    with pytest.raises(ConfigurationError, match="install PostgreSQL's server"):
        find_postgres()


def test_newest_postgres_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """15 is newer than 9.6, though not in the alphabet."""
    for version in ("9.6", "15", "14"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "initdb").touch()
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(module, "SYSTEM_FOLDER", tmp_path)

    assert find_postgres() == tmp_path / "15" / "bin"


def test_no_unprivileged_user_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root on a system without postgres and nobody learns what to add."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("pwd.getpwall", list)

    with pytest.raises(ConfigurationError, match="refuses to run as root"):
        module.unprivileged_user()


def test_initdb_trouble_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What initdb says about why it failed reaches the reader, and its folder is removed."""
    refusal = subprocess.CompletedProcess([], 1, stdout="", stderr="initdb: error: no space")
    monkeypatch.setattr("subprocess.run", lambda *_args, **_kwargs: refusal)
    server = PostgresServer()

    with pytest.raises(RetryableError, match="no space"), server:
        pass

    with pytest.raises(ConfigurationError):
        _ = server.folder
