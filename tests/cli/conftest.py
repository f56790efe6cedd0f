"""The host of the doctor's tests."""

from pathlib import Path
from typing import Any

import pytest

from cli.planting import DEPARTMENT, ROOT
from owntables import make_own_tables
from tellonce.declare import load_source
from tellonce.demo.tables import create_and_fill
from tellonce.keyring import new_view_keys
from tellonce.storage.capture import install
from tellonce.storage.database import open_database
from tellonce.topology import load_topology


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """The settings of a host on which all is well."""
    for view in load_topology(ROOT / "topology.yaml").views():
        new_view_keys(tmp_path / "keys", view.name)
    url = f"sqlite:///{tmp_path / 'department.db'}"
    engine = open_database(url)
    create_and_fill(engine, DEPARTMENT, {})
    make_own_tables(engine)
    install(engine, load_source(ROOT / "producers", DEPARTMENT))
    engine.dispose()
    parts = {name: ROOT / name for name in ("schemas", "producers", "consumers")}
    kafka_settings = {"bootstrap_servers": "kafka.example:9092", "security_protocol": "ssl"}
    return {
        **parts,
        "topology": ROOT / "topology.yaml",
        "keys": tmp_path / "keys",
        "database_url": url,
        "kafka": kafka_settings,
    }
