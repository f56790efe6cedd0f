"""Departments whose databases are reached through PgBouncer in transaction mode, as by their other applications."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import URL, make_url

from conftest import leave_out
from contract.city import City, Site
from contract.forms import Terms, id_number
from tellonce.model.errors import ConfigurationError
from tellonce.testing.processes import free_port
from waiting import wait_until

SESSIONS = 2
"""So few of the server's sessions that each transaction is given another one than the last."""


@contextmanager
def pooler_before(url: URL, folder: Path) -> Iterator[URL]:
    """PgBouncer as its package sets it up, in transaction mode; gives the address behind which the server is."""
    # Debian has it where a user's PATH does not lead.
    binary = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if binary is None:
        leave_out(ConfigurationError("pgbouncer is missing: install the package pgbouncer"))
    port = free_port()
    (folder / "users.txt").write_text(f'"{url.username}" "{url.password or ""}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={url.host} port={url.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder}/users.txt\n"
        f"pool_mode = transaction\ndefault_pool_size = {SESSIONS}\n"
    )
    for each in (folder, *folder.iterdir()):
        each.chmod(0o755)
    # It refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    process = subprocess.Popen([binary, "-q", folder / "pgbouncer.ini"], user=user, stderr=subprocess.DEVNULL)
    pooled = url.set(host="127.0.0.1", port=port)

    def answers() -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(_for_libpq(pooled), prepare_threshold=None):
            return True
        return False

    try:
        wait_until(answers, 10.0, what="PgBouncer answers")
        yield pooled
    finally:
        process.terminate()
        process.wait(10)


def _for_libpq(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def neighbours(url: URL) -> Iterator[None]:
    """Other applications, which take the server's sessions in turns."""
    stop = threading.Event()

    def run() -> None:
        with psycopg.connect(_for_libpq(url), prepare_threshold=None) as connection:
            while not stop.is_set():
                connection.execute("SET LOCAL DateStyle = 'German'")
                connection.commit()
                time.sleep(0.001)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)


@pytest.fixture
def pooled_city(postgres_only_site: Site, tmp_path: Path) -> Iterator[City]:
    """A city whose databases stand behind a pooler."""
    with City(tmp_path, postgres_only_site, Terms()) as city:
        server = make_url(city.urls[city.names.registry])
        # Outside the test's own folders, which are closed to who runs PgBouncer.
        folder = Path(os.path.realpath("/tmp")) / f"tellonce-pooler-{city.names.tag}"
        folder.mkdir()
        try:
            with pooler_before(server, folder) as pooled:
                for department in city.departments:
                    url = make_url(city.urls[department]).set(host=pooled.host, port=pooled.port)
                    city.use_database(department, url.render_as_string(hide_password=False))
                with neighbours(make_url(city.urls[city.names.clinic])):
                    yield city
        finally:
            shutil.rmtree(folder)


def test_city_works_behind_a_pooler(pooled_city: City) -> None:
    """Whichever of the server's sessions a transaction is given, changes are published, applied and proved."""
    city = pooled_city
    city.begin_epoch()
    city.add(1, 2)
    for turn in range(2):
        city.rename(1, f"Wang {turn}")
        city.run()

    assert city.patients() == {id_number(1): "Wang 1", id_number(2): "Wang Fang"}
    assert city.reconcile().states(city.names.clinic) == {"proved"}
