"""What has to be done on a cluster, as steps a person reads before they are taken."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from tellonce.kafka.admin import Acl

__all__ = ["Action", "Change", "NewTopic", "Step", "TopicsPlan"]

_FORMAT_VERSION = 1


class Action(StrEnum):
    """What becomes of one topic or access rule."""

    CREATE = "create"
    CHANGE = "change"
    SAME = "same"
    REFUSED = "refused"


_SIGNS = {Action.CREATE: "+", Action.CHANGE: "~", Action.SAME: "=", Action.REFUSED: "!"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTopic:
    """A topic that is to be made."""

    partitions: int
    replication_factor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One setting as it is, None where it is not there yet, and as it is to be."""

    before: str | None
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of a plan; `reason` says, where it is refused, why and what a person would do."""

    action: Action
    resource: Literal["topic", "acl"]
    name: str
    new_topic: NewTopic | None = None
    settings: Mapping[str, Change] = field(default_factory=dict[str, Change], hash=False)
    acl: Acl | None = None
    reason: str | None = None

    def __str__(self) -> str:
        """The step as a line of the plan."""
        parts: list[str] = []
        if self.new_topic is not None:
            parts = [_counted(self.new_topic.partitions, "partition")]
            parts.append(_counted(self.new_topic.replication_factor, "replica"))
            parts += [f"{name}={change.after}" for name, change in sorted(self.settings.items())]
        elif self.settings:
            parts = [
                f"{name} {'(unset)' if change.before is None else change.before} -> {change.after}"
                for name, change in sorted(self.settings.items())
            ]
        if self.reason is not None:
            parts.append(self.reason)
        line = f"{_SIGNS[self.action]} {self.action.value:<7} {self.resource:<5} {self.name}"
        return f"{line}: {', '.join(parts)}" if parts else line


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicsPlan:
    """All steps, access rules before topics, so that no topic is there without them; `notes` are for the reader."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()

    @property
    def pending(self) -> tuple[Step, ...]:
        """The steps that `apply_plan` takes."""
        return tuple(step for step in self.steps if step.action in {Action.CREATE, Action.CHANGE})

    @property
    def refused(self) -> tuple[Step, ...]:
        """The differences that are left to a person."""
        return tuple(step for step in self.steps if step.action is Action.REFUSED)

    def count(self, action: Action) -> int:
        """Gives how many steps have this action."""
        return sum(step.action is action for step in self.steps)

    def render(self) -> str:
        """Gives the plan as text, topics first; access rules that are as they should be are counted, not listed."""
        topics = [str(step) for step in self.steps if step.resource == "topic"]
        acls = [str(step) for step in self.steps if step.resource == "acl" and step.action is not Action.SAME]
        unlisted = sum(step.resource == "acl" and step.action is Action.SAME for step in self.steps)
        if unlisted:
            acls.append(f"= same    acl   {_counted(unlisted, 'rule')}")
        summary = (
            f"Plan: {self.count(Action.CREATE)} to create, {self.count(Action.CHANGE)} to change, "
            f"{self.count(Action.SAME)} same, {self.count(Action.REFUSED)} refused."
        )
        return "\n".join([*topics, *acls, *(f"Note: {note}" for note in self.notes), summary])

    def as_json(self) -> dict[str, object]:
        """Gives the plan for machines. Fields may be added in one `format_version`; none changes its meaning."""
        return {
            "format_version": _FORMAT_VERSION,
            "changes_pending": bool(self.pending),
            "summary": {action.value: self.count(action) for action in Action},
            "steps": [_step_as_json(step) for step in self.steps],
            "notes": list(self.notes),
        }


def _step_as_json(step: Step) -> dict[str, object]:
    shown: dict[str, object] = {"action": step.action.value, "resource": step.resource, "name": step.name}
    if step.new_topic is not None:
        shown["partitions"] = step.new_topic.partitions
        shown["replication_factor"] = step.new_topic.replication_factor
    if step.settings:
        shown["settings"] = {
            name: {"before": change.before, "after": change.after} for name, change in sorted(step.settings.items())
        }
    if step.acl is not None:
        shown["acl"] = {
            "principal": step.acl.principal,
            "operation": step.acl.operation,
            "resource_type": step.acl.resource_type,
            "name": step.acl.name,
            "pattern": step.acl.pattern,
            "permission": step.acl.permission,
            "host": step.acl.host,
        }
    if step.reason is not None:
        shown["reason"] = step.reason
    return shown


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
