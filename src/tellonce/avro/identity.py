"""The content identity of a schema.

Avro's own fingerprint is taken of the parsing form, which leaves out decimal scale and timestamp units.
Two schemas that read the same bytes as different values share it.
This one keeps everything that changes what a reader gets.
"""

import hashlib
import json

from tellonce.avro.jsonvalue import Json, JsonObject

__all__ = ["canonical_form", "schema_identity"]

_NAMED = frozenset({"record", "enum", "fixed", "error"})
_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


def schema_identity(schema: Json) -> str:
    """SHA-256 of the schema's canonical form, in lower-case hexadecimal."""
    return hashlib.sha256(canonical_form(schema).encode("ascii")).hexdigest()


def canonical_form(schema: Json) -> str:
    """One text for all ways to write the same schema: ASCII, sorted properties, names in full, no documentation.

    Logical types, defaults, aliases and properties of our own stay, and so does the order of fields and symbols.
    """
    return json.dumps(_canonical(schema, ""), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _canonical(schema: Json, namespace: str) -> Json:
    if isinstance(schema, str):
        return schema if schema in _PRIMITIVES else _full_name(schema, namespace)
    if isinstance(schema, list):
        return [_canonical(branch, namespace) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") in _NAMED:
        return _canonical_named(schema, namespace)
    form: JsonObject = {key: value for key, value in schema.items() if key != "doc"}
    for key in ("type", "items", "values"):
        # The type of {"type": "array", …} is a keyword and no name to expand.
        if key in form and form[key] not in ("array", "map"):
            form[key] = _canonical(form[key], namespace)
    return form["type"] if set(form) == {"type"} else form


def _canonical_named(schema: JsonObject, namespace: str) -> Json:
    given = schema.get("namespace")
    full = _full_name(str(schema.get("name")), given if isinstance(given, str) else namespace)
    inner = full.rpartition(".")[0]
    form: JsonObject = {key: value for key, value in schema.items() if key not in ("doc", "namespace")}
    form["name"] = full
    aliases = schema.get("aliases")
    if isinstance(aliases, list):
        form["aliases"] = [_full_name(str(alias), inner) for alias in aliases]
    fields = schema.get("fields")
    if isinstance(fields, list):
        form["fields"] = [_canonical_field(field, inner) for field in fields]
    return form


def _canonical_field(field: Json, namespace: str) -> Json:
    if not isinstance(field, dict):
        return field
    form: JsonObject = {key: value for key, value in field.items() if key != "doc"}
    form["type"] = _canonical(field.get("type"), namespace)
    return form


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"
