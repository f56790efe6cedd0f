"""A JSON schema of topology.yaml, with which editors complete keys and mark mistakes while typing."""

from pydantic import JsonValue

from tellonce.topology.model import TopologyForm

__all__ = ["topology_json_schema"]


def topology_json_schema() -> dict[str, JsonValue]:
    """The JSON schema (draft 2020-12) of topology.yaml's shape; rules across the file are `lint_topology`'s alone."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **TopologyForm.model_json_schema(),
        "title": "tellonce topology",
    }
