"""Which access rules a cluster lacks, and which of its rules open a topic to those whom the topology does not name."""

from collections.abc import Iterable, Mapping

from tellonce.kafka.admin import Acl
from tellonce.kafka.plan import Action, Step
from tellonce.topology.topics import AclRule

__all__ = ["acl_steps", "acls_wanted"]

# Neither shows data.
_HARMLESS = {"DESCRIBE", "DESCRIBE_CONFIGS"}
_IMPLIED_BY = {
    "DESCRIBE": {"DESCRIBE", "READ", "WRITE", "DELETE", "ALTER", "ALL"},
    "DESCRIBE_CONFIGS": {"DESCRIBE_CONFIGS", "ALTER_CONFIGS", "ALL"},
}


def acls_wanted(rules: Iterable[AclRule], principals: Mapping[str, str]) -> frozenset[Acl]:
    """Gives the broker's rules for the topology's; a principal is `User:<name>` unless `principals` maps its name."""
    return frozenset(
        Acl(
            principal=principals.get(rule.principal, f"User:{rule.principal}"),
            operation=rule.operation,
            resource_type=rule.resource_type,
            name=rule.name,
        )
        for rule in rules
    )


def acl_steps(wanted: frozenset[Acl], found: frozenset[Acl], topics: frozenset[str]) -> list[Step]:
    """Gives the steps for access rules; none is ever taken away, a rule too many is a refusal that says how.

    A rule that holds for one host only is taken as meant: it is not widened.
    """
    steps = [
        Step(action=Action.SAME if _is_given(acl, found) else Action.CREATE, resource="acl", name=str(acl), acl=acl)
        for acl in sorted(wanted)
    ]
    for acl in sorted(found):
        reason = _objection(acl, wanted, topics)
        if reason is not None:
            steps.append(Step(action=Action.REFUSED, resource="acl", name=str(acl), acl=acl, reason=reason))
    return steps


def _is_given(acl: Acl, found: frozenset[Acl]) -> bool:
    enough = _IMPLIED_BY.get(acl.operation, {acl.operation, "ALL"})
    return any(
        one.permission == "ALLOW"
        and one.pattern == "LITERAL"
        and (one.principal, one.resource_type, one.name) == (acl.principal, acl.resource_type, acl.name)
        and one.operation in enough
        for one in found
    )


def _covers(acl: Acl, name: str) -> bool:
    if acl.pattern == "PREFIXED":
        return name.startswith(acl.name)
    return acl.name in {name, "*"}


def _objection(acl: Acl, wanted: frozenset[Acl], topics: frozenset[str]) -> str | None:
    """Why a rule that is there is one too many, and how a person would take it away; None where it is none."""
    if acl.permission == "DENY":
        hit = [
            one
            for one in wanted
            if acl.principal in {one.principal, "User:*"}
            and acl.resource_type == one.resource_type
            and acl.operation in {one.operation, "ALL", *({"DESCRIBE"} if one.operation != "DESCRIBE" else set[str]())}
            and _covers(acl, one.name)
        ]
        if not hit:
            return None
        return f"it takes away what the topology gives ({min(hit)}); remove it with `{_removal(acl)}`"
    if acl.resource_type != "topic" or acl.operation in _HARMLESS:
        return None
    opened = sorted(name for name in topics if _covers(acl, name))
    given = {(one.principal, one.operation, one.name) for one in wanted}
    excess = [name for name in opened if (acl.principal, acl.operation, name) not in given]
    if not excess:
        return None
    others = "" if len(excess) == 1 else f" and {len(excess) - 1} more"
    return f"the topology does not give this right to {excess[0]}{others}; remove it with `{_removal(acl)}`"


def _removal(acl: Acl) -> str:
    verb = "deny" if acl.permission == "DENY" else "allow"
    pattern = "" if acl.pattern == "LITERAL" else f" --resource-pattern-type {acl.pattern.lower()}"
    host = "" if acl.host == "*" else f" --{verb}-host {acl.host}"
    operation = "".join(word.capitalize() for word in acl.operation.split("_"))
    return (
        f"kafka-acls.sh --remove --{verb}-principal '{acl.principal}'{host} --operation {operation} "
        f"--{acl.resource_type} '{acl.name}'{pattern}"
    )
