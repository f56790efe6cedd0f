"""The contract between departments as values: who owns what, who may see which part of it, why, and how fresh.

Each value comes in two shapes that share their terms: the *form* is what a person writes in topology.yaml, where a
thing's name is the key it stands under; the public model also carries its own name, so that a view or a subscription
can be passed around alone.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from tellonce.model.errors import ConfigurationError

__all__ = [
    "Department",
    "DepartmentForm",
    "FieldSharing",
    "RecordType",
    "RecordTypeForm",
    "Subscription",
    "SubscriptionForm",
    "Topology",
    "TopologyForm",
    "View",
    "ViewForm",
]

# Departments are hyphenated because they become Kafka principals and host names; record types, views and fields are
# underscored because they become Avro names, where a hyphen is not allowed.
DEPARTMENT_PATTERN = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
NAME_PATTERN = r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$"

# A bound against nonsense only: Kafka's own limit of 249 characters on the composed topic name is a lint rule.
_MAX_NAME_LENGTH = 200

PublicKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
DepartmentSlug = Annotated[str, StringConstraints(pattern=DEPARTMENT_PATTERN, max_length=_MAX_NAME_LENGTH)]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=_MAX_NAME_LENGTH)]
# No control characters but line breaks, which YAML's block texts have, and tabs.
Text = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=2000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"
    ),
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DepartmentForm(_Frozen):
    """A department as written under its slug."""

    title: Text = Field(description="Name of the department as people say it.")
    contact: Text = Field(description="Whom to call about its data: an office, not a person.")


class Department(DepartmentForm):
    """An organisation with its own database; `name` is its slug."""

    name: DepartmentSlug


class FieldSharing(_Frozen):
    """How one field of a record type may be shared, as the data directory classes it."""

    sharing: Literal["unconditional", "conditional", "not_shared"] = Field(
        description="unconditional: any view; conditional: under `condition`; not_shared: no view, because of `bar`."
    )
    condition: Text | None = Field(default=None, description="Required if conditional: what a subscriber must fulfil.")
    bar: Text | None = Field(default=None, description="Required if not_shared: the law that bars sharing, cited.")


class SubscriptionForm(_Frozen):
    """A subscription as written under its department's slug."""

    basis: Text = Field(description="Legal basis, cited so that it can be looked up.")
    purpose: Text = Field(description="What the department does with the data.")
    freshness_seconds: int = Field(
        strict=True,
        ge=1,
        le=2_592_000,
        description="Objective from the authority's commit to applied at the department, in seconds.",
    )
    on_divergence: Literal["repair", "flag"] = Field(
        description="repair: the reconciler orders the repair by itself; flag: it waits for a person."
    )
    repair_cap: int = Field(
        default=1000, strict=True, ge=1, le=1_000_000, description="Most records that one round of orders may name."
    )
    longest_lag_hours: int = Field(
        default=168,
        strict=True,
        ge=1,
        le=8760,
        description="Longest absence, in hours, after which it may still compare; marks are kept longer.",
    )


class Subscription(SubscriptionForm):
    """A department's right to a view: legal basis, purpose, freshness objective, what to do on divergence."""

    department: DepartmentSlug
    view: str = Field(description="Full name of the view, such as citizen.identity.")


class _ViewTerms(_Frozen):
    fields: tuple[Name, ...] = Field(
        min_length=1, max_length=500, description="Fields every subscriber receives and holds."
    )
    match_only: tuple[Name, ...] = Field(
        default=(), max_length=500, description="Fields received only to find the row; never held, never digested."
    )
    major: int = Field(strict=True, ge=1, le=9999, description="Major version; a new one is a new topic.")
    partitions: int = Field(
        strict=True, ge=1, le=1000, description="Partitions of the topic; a change begins a new epoch."
    )
    buckets: int = Field(
        strict=True, ge=16, le=65536, description="Groups of records per stream that inquiries compare; a power of two."
    )


class ViewForm(_ViewTerms):
    """A view as written under its short name."""

    subscriptions: dict[DepartmentSlug, SubscriptionForm] = Field(
        default={}, description="Subscribing departments by slug."
    )


class View(_ViewTerms):
    """A named subset of a record type's fields that some departments may lawfully see; one view is one topic.

    `name` is the full name, such as ``citizen.identity``.
    """

    name: str
    record_type: Name
    authority: DepartmentSlug
    subscriptions: dict[DepartmentSlug, Subscription]

    @property
    def short_name(self) -> str:
        """The view's name within its record type, such as ``identity``."""
        return self.name.partition(".")[2]

    @property
    def topic(self) -> str:
        """The Kafka topic that carries this view, such as ``citizen.identity.v1``."""
        return f"{self.name}.v{self.major}"


class RecordTypeForm(_Frozen):
    """A record type as written under its name."""

    authority: DepartmentSlug = Field(description="Slug of the one department that owns these records.")
    fields: dict[Name, FieldSharing] = Field(
        min_length=1, max_length=500, description="Sharing class of each field of the record type's Avro schema."
    )
    views: dict[Name, ViewForm] = Field(default={}, description="Views by short name; each is one topic.")


class RecordType(_Frozen):
    """What is shared; exactly one department is its authority."""

    name: Name
    authority: DepartmentSlug
    fields: dict[Name, FieldSharing]
    views: dict[Name, View]


class TopologyForm(_Frozen):
    """The whole of topology.yaml as written."""

    city: Text = Field(description="The place, or other union of departments, that this contract is for.")
    departments: dict[DepartmentSlug, DepartmentForm] = Field(
        min_length=1, max_length=1000, description="Departments by slug, such as public-security."
    )
    record_types: dict[Name, RecordTypeForm] = Field(
        min_length=1, max_length=1000, description="Record types by name, such as citizen."
    )
    signing_keys: dict[DepartmentSlug, Annotated[tuple[PublicKey, ...], Field(min_length=1, max_length=2)]] = Field(
        default={},
        max_length=1002,
        description="Public keys of who signs: departments, `reconciler`, `operator`; two while one is replaced.",
    )


class Topology(_Frozen):
    """The checked contract between departments.

    Departments, record types, views and subscriptions keep the order in which they are written.
    A value is not hashable, since it holds dictionaries; they are not to be changed.
    """

    city: Text
    departments: dict[DepartmentSlug, Department]
    record_types: dict[Name, RecordType]
    signing_keys: dict[DepartmentSlug, tuple[PublicKey, ...]] = {}

    @classmethod
    def from_form(cls, form: TopologyForm) -> "Topology":
        """The topology that a written form stands for: each part given the name it is written under."""
        return cls(
            city=form.city,
            departments={
                slug: Department(name=slug, title=written.title, contact=written.contact)
                for slug, written in form.departments.items()
            },
            record_types={name: _record_type(name, written) for name, written in form.record_types.items()},
            signing_keys=form.signing_keys,
        )

    def views(self) -> tuple[View, ...]:
        """Every view of every record type, in written order."""
        return tuple(view for record_type in self.record_types.values() for view in record_type.views.values())

    def view(self, name: str) -> View:
        """The view with this full name, such as ``citizen.identity``.

        Raises:
            ConfigurationError: no view has this name.
        """
        record_type, _, short = name.partition(".")
        known = self.record_types.get(record_type)
        if known is None or short not in known.views:
            raise _unknown("view", name, [view.name for view in self.views()])
        return known.views[short]

    def record_type(self, name: str) -> RecordType:
        """The record type with this name.

        Raises:
            ConfigurationError: no record type has this name.
        """
        if name not in self.record_types:
            raise _unknown("record type", name, self.record_types)
        return self.record_types[name]

    def department(self, name: str) -> Department:
        """The department with this slug.

        Raises:
            ConfigurationError: no department has this slug.
        """
        if name not in self.departments:
            raise _unknown("department", name, self.departments)
        return self.departments[name]

    def fields_of(self, record_type: str) -> Mapping[str, FieldSharing]:
        """Gives the fields of a record type with the class of each; none if there is no such record type."""
        found = self.record_types.get(record_type)
        return {} if found is None else found.fields

    def published_by(self, department: str) -> tuple[View, ...]:
        """The views whose authority is this department; empty if it publishes nothing."""
        return tuple(view for view in self.views() if view.authority == department)

    def subscribed_by(self, department: str) -> tuple[Subscription, ...]:
        """This department's subscriptions; empty if it subscribes to nothing."""
        return tuple(view.subscriptions[department] for view in self.views() if department in view.subscriptions)


def _record_type(name: str, written: RecordTypeForm) -> RecordType:
    views = {short: _view(name, short, written.authority, view) for short, view in written.views.items()}
    return RecordType(name=name, authority=written.authority, fields=written.fields, views=views)


def _view(record_type: str, short: str, authority: str, written: ViewForm) -> View:
    name = f"{record_type}.{short}"
    return View(
        name=name,
        record_type=record_type,
        authority=authority,
        fields=written.fields,
        match_only=written.match_only,
        major=written.major,
        partitions=written.partitions,
        buckets=written.buckets,
        subscriptions={
            slug: Subscription(
                department=slug,
                view=name,
                basis=terms.basis,
                purpose=terms.purpose,
                freshness_seconds=terms.freshness_seconds,
                on_divergence=terms.on_divergence,
                repair_cap=terms.repair_cap,
                longest_lag_hours=terms.longest_lag_hours,
            )
            for slug, terms in written.subscriptions.items()
        },
    )


def _unknown(what: str, name: str, known: Iterable[str]) -> ConfigurationError:
    names = list(known)
    near = get_close_matches(name, names, n=1)
    fix = f"did you mean {near[0]}?" if near else f"the topology has {', '.join(names[:20]) or 'none'}"
    return ConfigurationError(f"expected a {what} of the topology, found {name}; {fix}")
