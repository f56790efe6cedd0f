"""Where a demonstration runs: its folder, its broker, and each department's database."""

import json
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import Engine, create_engine, select

from tellonce.control.signing import public_key_of
from tellonce.demo.tables import create_and_fill, tables_of
from tellonce.kafka.embedded import EmbeddedBroker
from tellonce.kafka.settings import KafkaSettings
from tellonce.keyring import new_signing_key
from tellonce.storage.statements import by_name
from tellonce.testing.kafka_server import KafkaServer
from tellonce.testing.postgres_server import PostgresServer
from tellonce.topology import Topology, load_topology, topics_of
from tellonce.topology.topics import OPERATOR, RECONCILER

__all__ = [
    "CONFIGURATION",
    "Sites",
    "add_signing_keys",
    "copy_configuration",
    "demo_root",
    "keep_databases",
    "open_sites",
    "write_facts",
]

CONFIGURATION = ("topology.yaml", "schemas", "producers", "consumers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """A running broker and databases: how to reach them, and each department's settings as environment variables."""

    folder: Path
    kafka: KafkaSettings
    databases: Mapping[str, str]

    def environment(self, department: str, **more: str) -> dict[str, str]:
        """Gives the TELLONCE_ variables of one department's host."""
        return {
            "TELLONCE_TOPOLOGY": str(self.folder / "topology.yaml"),
            "TELLONCE_SCHEMAS": str(self.folder / "schemas"),
            "TELLONCE_PRODUCERS": str(self.folder / "producers"),
            "TELLONCE_CONSUMERS": str(self.folder / "consumers"),
            "TELLONCE_KEYS": str(self.folder / "keys"),
            "TELLONCE_DATABASE_URL": self.databases[department],
            "TELLONCE_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "TELLONCE_KAFKA__GROUP_PROTOCOL": self.kafka.group_protocol,
            # A dozen services run on one machine.
            "TELLONCE_METRICS_PORT": "0",
            # Whoever watches reads in their logs which port each was given.
            "TELLONCE_LOG_FORM": "json",
            "TELLONCE_LOG_LEVEL": "info",
            "PYTHONDONTWRITEBYTECODE": "1",
            **more,
        }

    def write_env_files(self) -> None:
        """Leaves `DEPARTMENT.env` for each, so that commands can be given by hand; they may hold a password."""
        for department in self.databases:
            file = self.folder / f"{department}.env"
            file.touch(mode=0o600)
            variables = self.environment(department).items()
            file.write_text("".join(f"{k}={v}\n" for k, v in variables if k.startswith("TELLONCE_")), encoding="utf-8")


def demo_root() -> Path:
    """Gives the folder that holds the demonstration city: the package's copy, or the checkout's own."""
    packaged = Path(__file__).parent / "city"
    return packaged if packaged.is_dir() else Path(__file__).parents[3]


def copy_configuration(folder: Path) -> None:
    """Copies the city's contract and declarations, so that a run can be changed without touching the checkout."""
    for name in CONFIGURATION:
        source = demo_root() / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy2(source, folder / name)


def add_signing_keys(folder: Path) -> None:
    """Makes the key of everybody who signs, and lists the public ones in the folder's topology."""
    file = folder / "topology.yaml"
    principals = (*load_topology(file).departments, RECONCILER, OPERATOR)
    keys = {name: public_key_of(new_signing_key(folder / "keys", name)) for name in principals}
    lines = ["signing_keys:", *(f"  {name}: [{key}]" for name, key in keys.items())]
    with file.open("a", encoding="utf-8") as text:
        text.write("\n" + "".join(f"{line}\n" for line in lines))


def open_sites(
    folder: Path,
    topology: Topology,
    broker: Literal["embedded", "kafka"],
    store: Literal["sqlite", "postgres"],
    stack: ExitStack,
) -> Sites:
    """Starts broker and databases; `stack` stops them."""
    databases: dict[str, str] = {}
    if store == "postgres":
        server = stack.enter_context(PostgresServer())
        databases = {name: server.create_database(name.replace("-", "_")) for name in topology.departments}
    else:
        (folder / "databases").mkdir(parents=True, exist_ok=True)
        databases = {name: f"sqlite:///{folder / 'databases' / name}.db" for name in topology.departments}
    if broker == "kafka":
        kafka = KafkaSettings(bootstrap_servers=stack.enter_context(KafkaServer()).bootstrap_servers)
    else:
        embedded = stack.enter_context(EmbeddedBroker())
        for spec in topics_of(topology):
            embedded.create_topic(spec.name, partitions=spec.partitions)
        kafka = KafkaSettings(bootstrap_servers=embedded.bootstrap_servers, group_protocol="classic")
    return Sites(folder=folder, kafka=kafka, databases=databases)


def write_facts(folder: Path, databases: Mapping[str, str], ownership: object, known: object) -> None:
    """Leaves what `tellonce demo check` needs, SQLite paths relative to the folder."""
    relative = {name: url.replace(f"sqlite:///{folder}/", "sqlite:///") for name, url in databases.items()}
    facts = {"databases": relative, "ownership": ownership, "known": known}
    (folder / "demo.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")


def keep_databases(folder: Path, databases: Mapping[str, str], engines: Mapping[str, Engine]) -> dict[str, str]:
    """Gives the databases that outlive the run: SQLite files stay, a PostgreSQL's tables are copied into such files."""
    kept: dict[str, str] = {}
    for department, url in databases.items():
        kept[department] = url
        if url.startswith("sqlite"):
            continue
        file = folder / "databases" / f"{department}.db"
        file.parent.mkdir(parents=True, exist_ok=True)
        kept[department] = f"sqlite:///{file}"
        with engines[department].connect() as connection:
            rows = {
                name: [dict(by_name(row)) for row in connection.execute(select(table))]
                for name, table in tables_of(department).items()
            }
        copy = create_engine(kept[department])
        create_and_fill(copy, department, rows)
        copy.dispose()
    return kept
