"""The contract between departments: topology.yaml as checked values, its lint, its topics, and its pictures."""

from tellonce.topology.diagram import to_mermaid, to_text
from tellonce.topology.findings import Finding, Position, Severity
from tellonce.topology.lint import RULES, lint_topology
from tellonce.topology.load import CheckedTopology, check_topology, load_topology, parse_topology
from tellonce.topology.model import Department, FieldSharing, RecordType, Subscription, Topology, View
from tellonce.topology.schema import topology_json_schema
from tellonce.topology.source import TopologySource
from tellonce.topology.topics import AclRule, TopicSpec, acls_of, topics_of

__all__ = [
    "RULES",
    "AclRule",
    "CheckedTopology",
    "Department",
    "FieldSharing",
    "Finding",
    "Position",
    "RecordType",
    "Severity",
    "Subscription",
    "TopicSpec",
    "Topology",
    "TopologySource",
    "View",
    "acls_of",
    "check_topology",
    "lint_topology",
    "load_topology",
    "parse_topology",
    "to_mermaid",
    "to_text",
    "topics_of",
    "topology_json_schema",
]
