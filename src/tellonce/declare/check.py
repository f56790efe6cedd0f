"""Holds a department's declarations to the contract, offline: the topology and the schemas."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from tellonce.avro.fields import FieldSpec, Kind, ViewSchema
from tellonce.declare.binding import Binding, Column
from tellonce.declare.matching import Previous
from tellonce.declare.source import Source
from tellonce.declare.textual import CodeListCodec, TextCodec
from tellonce.model.errors import ConfigurationError
from tellonce.topology.model import FieldSharing, View

__all__ = ["Finding", "check_binding", "check_source", "doubts_about_binding", "refuse"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in a declaration that a person must change."""

    place: str
    """`file:line` of the declaration."""
    message: str
    """What was expected, what was found and what to do, in one sentence; a narrower view may follow as YAML."""

    def __str__(self) -> str:
        """Gives place and message as one text."""
        return f"{self.place}: {self.message}"


def refuse(findings: Iterable[Finding]) -> None:
    """Does nothing if there are no findings.

    Raises:
        ConfigurationError: there are findings; its text has them all, one a line.
    """
    texts = [str(finding) for finding in findings]
    if texts:
        raise ConfigurationError("\n".join(texts), findings=len(texts))


def check_binding(
    binding: Binding, schema: ViewSchema, view: View, *, department: str | None = None
) -> tuple[Finding, ...]:
    """Finds what keeps a binding from holding its view.

    It must bind every field of the view but the match_only ones, and no others, with codecs of the fields' kinds; its
    match rules must read fields that the view has. `department` is only for the narrower view that is proposed where
    fields are not held.
    """
    messages: list[str] = []
    if not binding.view == view.name == schema.view:
        messages.append(
            f"the binding is of {binding.view} but was checked against {view.name} and the schema of {schema.view}"
        )
    specs = {spec.name: spec for spec in schema.fields}
    held = [spec.name for spec in schema.fields if not spec.match_only]
    for name, column in binding.columns.items():
        spec = specs.get(name)
        if spec is None:
            messages.append(f"columns= binds {name}, which {view.name} does not have{_hint(name, held)}")
        elif spec.match_only:
            messages.append(
                f"columns= binds {name}, which {view.name} gives for matching only and nobody may hold; leave it out"
            )
        else:
            messages += _check_codec(column, spec)
    messages += _check_rules(binding, specs, view.name)
    missing = [name for name in held if name not in binding.columns]
    if missing:
        messages.append(_refuse_partial(binding, view, missing, department))
    return tuple(Finding(binding.place, message) for message in messages)


def doubts_about_binding(binding: Binding) -> tuple[Finding, ...]:
    """Finds what is allowed, and does other than people expect: a number that is found in one spelling only."""
    fields = dict.fromkeys(rule.identifier for rule in binding.match)
    columns = {name: column for name, column in binding.columns.items() if name in fields}
    return tuple(
        Finding(
            binding.place,
            f"rows are found by {name}, and column {column.name} tells x from X and full-width digits from others; "
            "bind it by identifier()",
        )
        for name, column in columns.items()
        if column.codec is None or type(column.codec) is TextCodec
    )


def check_source(
    source: Source, specs: Iterable[FieldSpec], sharing: Mapping[str, FieldSharing]
) -> tuple[Finding, ...]:
    """Finds what keeps a source from filling the record type whose fields are `specs`.

    It must map all of them and no others, with codecs of the fields' kinds. Its key must be none whose value is shared
    with some only (`sharing` tells each field's class): every subscriber sees the key's pseudonym, and can try values.
    """
    fields = {spec.name: spec for spec in specs}
    messages: list[str] = []
    for name, column in source.columns.items():
        spec = fields.get(name)
        if spec is None:
            messages.append(f"columns= maps {name}, which {source.record_type} does not have{_hint(name, fields)}")
        elif spec.kind is Kind.TEXT_LIST:
            messages.append(f"{name} is a list and no single column gives it; name its history table in former=")
        else:
            messages += _check_codec(column, spec)
        shared = sharing.get(name)
        if column.name in source.key and shared is not None and shared.sharing != "unconditional":
            messages.append(
                f"expected a key that may be guessed by every subscriber, found column {column.name}, whose field "
                f"{name} is {shared.sharing}; name another key of the table in key="
            )
    for name, history in source.former.items():
        spec = fields.get(name)
        if spec is None:
            messages.append(f"former= fills {name}, which {source.record_type} does not have{_hint(name, fields)}")
        elif spec.kind is not Kind.TEXT_LIST:
            messages.append(f"former= fills lists of text, but {name} is {spec.kind}; map it in columns=")
        elif history.codec.kind is not Kind.TEXT:
            messages.append(f"{name} lists texts, but its history column's codec gives {history.codec.kind}")
    missing = [name for name in fields if name not in source.columns and name not in source.former]
    if missing:
        messages.append(
            f"no column is mapped to {', '.join(missing)} of {source.record_type}; "
            "map each in columns=, and a list in former="
        )
    return tuple(Finding(source.place, message) for message in messages)


def _hint(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else "; leave it out"


def _check_codec(column: Column, spec: FieldSpec) -> list[str]:
    try:
        codec = column.codec_for(spec)
    except ConfigurationError as error:
        return [f"column {column.name} (field {spec.name}): {error}"]
    if codec.kind is not spec.kind:
        message = f"the codec of column {column.name} holds {codec.kind}, but the field {spec.name} is {spec.kind}; "
        return [message + f"choose a codec for {spec.kind}"]
    if not isinstance(codec, CodeListCodec) or not spec.symbols:
        return []
    words = {word for _, word in codec.pairs if word is not None}
    messages: list[str] = []
    if unheld := [symbol for symbol in spec.symbols if symbol not in words]:
        messages.append(
            f"the code list of column {column.name} has no code for {', '.join(unheld)} of the field {spec.name}"
        )
    if unknown := sorted(words.difference(spec.symbols)):
        messages.append(
            f"the code list of column {column.name} has {', '.join(unknown)}, which the field {spec.name} never is; "
            f"its words are {', '.join(spec.symbols)}"
        )
    return messages


def _check_rules(binding: Binding, specs: dict[str, FieldSpec], view: str) -> list[str]:
    messages: list[str] = []
    for rule in binding.match:
        expected = Kind.TEXT_LIST if isinstance(rule, Previous) else Kind.TEXT
        for name in rule.needs:
            spec = specs.get(name)
            if spec is None:
                lists = [known for known, field in specs.items() if field.kind is expected]
                messages.append(f"a match rule reads {name}, which {view} does not have{_hint(name, lists)}")
            elif spec.kind is not expected:
                messages.append(f"a match rule reads {name} as {expected}, but it is {spec.kind}")
        identifier = specs.get(rule.identifier)
        if identifier is not None and identifier.kind is not Kind.TEXT:
            messages.append(
                f"a match rule searches the column of {rule.identifier}, which is {identifier.kind} and not text"
            )
    return list(dict.fromkeys(messages))


def _refuse_partial(binding: Binding, view: View, missing: list[str], department: str | None) -> str:
    needed = {name for rule in binding.match for name in rule.needs}
    suffix = (department or "narrow").replace("-", "_")
    reason = (
        f"no column is bound to {', '.join(missing)} of {view.name}, and whoever does not hold a field has no business "
        "receiving it; bind it, or declare this narrower view in topology.yaml and subscribe to it instead:"
    )
    lines = [
        reason,
        "record_types:",
        f"  {view.record_type}:",
        "    views:",
        f"      {view.short_name}_{suffix}:",
        f"        fields: [{', '.join(name for name in view.fields if name in binding.columns)}]",
        f"        match_only: [{', '.join(name for name in view.match_only if name in needed)}]",
        f"        major: {view.major}",
        f"        partitions: {view.partitions}",
        f"        buckets: {view.buckets}",
    ]
    subscription = None if department is None else view.subscriptions.get(department)
    if subscription is not None:
        terms = subscription.model_dump(exclude={"department", "view"})
        lines += ["        subscriptions:", f"          {department}:"]
        lines += [f"            {name}: {_yaml(value)}" for name, value in terms.items()]
    return "\n".join(lines)


def _yaml(value: object) -> str:
    # JSON's quoted text is YAML's, and needs no look at what the text contains.
    return json.dumps(value, ensure_ascii=False)
