"""The contract between departments, as a command or service loads it."""

from dataclasses import dataclass

from tellonce.avro.catalogue import Catalogue
from tellonce.cli.settings import Settings
from tellonce.model.errors import ConfigurationError
from tellonce.topology import Topology, load_topology

__all__ = ["Contract", "load_contract", "require_department"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The contract between departments, loaded and checked."""

    topology: Topology
    catalogue: Catalogue


def load_contract(settings: Settings) -> Contract:
    """Gives topology and schemas.

    Raises:
        ConfigurationError: one of them is wrong.
    """
    topology = load_topology(settings.topology)
    return Contract(topology=topology, catalogue=Catalogue.load(settings.schemas, topology))


def require_department(contract: Contract, department: str) -> None:
    """Returns where the topology has the department.

    Raises:
        ConfigurationError: it has not; the message lists those that it has.
    """
    if department not in contract.topology.departments:
        known = ", ".join(sorted(contract.topology.departments))
        msg = f"expected a department of the topology, found {department}; it has {known}"
        raise ConfigurationError(msg, department=department)
