"""Where a personal value must not be: our own tables, Kafka but for the view's values, and files."""

from pathlib import Path

from sqlalchemy import select

from contract.city import City
from tellonce.kafka.reading import read_to_end
from tellonce.storage.database import reading
from tellonce.storage.tables import own_tables
from tellonce.topology import load_topology, topics_of

__all__ = ["files", "kept", "written"]


def kept(city: City) -> dict[str, bytes]:
    """What our own tables say of trouble, which operators are shown."""
    wanted = {
        "parked": ("reason", "detail"),
        "unpublished": ("reason", "detail"),
        "stream": ("stopped", "settings"),
        "position": ("stopped", "attestation", "missing"),
        "snapshot": ("reason",),
    }
    found: dict[str, bytes] = {}
    for department in city.departments:
        with reading(city.engines[department]) as connection:
            own = own_tables(connection.dialect.name)
            for name, columns in wanted.items():
                table = getattr(own, name)
                rows = connection.execute(select(*(table.c[column] for column in columns)))
                found[f"{name} at {department}"] = repr([tuple(row) for row in rows]).encode()
    return found


def written(city: City) -> dict[str, bytes]:
    """Whole messages of the control topics, and keys and headers of the view's."""
    names = city.names
    topology = load_topology(city.settings(names.registry).topology)
    controls = [spec.name for spec in topics_of(topology) if spec.name != city.topic]
    found: dict[str, bytes] = {}
    for topic in (*controls, city.topic):
        parts: list[bytes] = []
        for message in read_to_end(city.kafka, topic):
            value = message.value() if topic in controls else None
            headers = list(message.headers() or [])
            parts += [message.key() or b"", value or b"", *(_bytes(header[1]) for header in headers)]
        found[topic] = b"\n".join(parts)
    return found


def _bytes(content: str | bytes | None) -> bytes:
    return content.encode() if isinstance(content, str) else content or b""


def files(folder: Path) -> dict[str, bytes]:
    """What lies in the folder but databases and keys: logs, what commands said, and the contract."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".db" not in path.name and path.suffix != ".key"
    }
