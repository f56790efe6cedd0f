"""The type of parsed JSON, which is what an Avro schema is made of."""

from typing import TypeAlias

from pydantic import JsonValue

__all__ = ["Json", "JsonObject"]

Json: TypeAlias = JsonValue
JsonObject: TypeAlias = dict[str, JsonValue]
