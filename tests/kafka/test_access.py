"""Which access rules are made, and which are shown as one too many."""

import pytest

from tellonce.kafka.access import acl_steps, acls_wanted
from tellonce.kafka.admin import Acl
from tellonce.kafka.plan import Action, Step
from tellonce.topology.topics import AclRule

VIEW = "citizen.identity.v1"


def rule(**given: str) -> Acl:
    """A rule that lets the fund read the view, but for what a test names."""
    return Acl(**{"principal": "User:fund", "operation": "READ", "resource_type": "topic", "name": VIEW} | given)


def plan(*found: Acl) -> list[Step]:
    """The steps where the fund is to read the view and these rules are there."""
    return acl_steps(frozenset({rule()}), frozenset(found), frozenset({VIEW, "tellonce.marks.police"}))


def actions(*found: Acl) -> list[Action]:
    """The actions of these steps."""
    return [step.action for step in plan(*found)]


def test_department_is_a_user_unless_mapped() -> None:
    """Departments that log in by certificate have their own principals."""
    rules = [
        AclRule(principal=name, resource_type="topic", name=VIEW, operation="READ") for name in ("fund", "healthcare")
    ]

    found = acls_wanted(rules, {"healthcare": "User:CN=healthcare,O=City"})

    assert {acl.principal for acl in found} == {"User:fund", "User:CN=healthcare,O=City"}
    assert {(acl.permission, acl.pattern, acl.host) for acl in found} == {("ALLOW", "LITERAL", "*")}


def test_missing_rule_is_created() -> None:
    """What the topology gives and the broker does not is made."""
    assert actions() == [Action.CREATE]


@pytest.mark.parametrize("found", [rule(), rule(host="10.0.0.7")])
def test_rule_that_is_there_is_the_same(found: Acl) -> None:
    """A rule that an administrator narrowed to one host is not widened again."""
    assert actions(found) == [Action.SAME]


@pytest.mark.parametrize(
    ("operation", "is_enough"),
    [("DESCRIBE_CONFIGS", True), ("ALTER_CONFIGS", True), ("ALL", True), ("DESCRIBE", False), ("READ", False)],
)
def test_right_that_another_implies_is_not_made_again(operation: str, is_enough: bool) -> None:
    """Kafka shows settings to whoever may change them, and not to whoever may read."""
    wanted = frozenset({rule(operation="DESCRIBE_CONFIGS")})

    first = acl_steps(wanted, frozenset({rule(operation=operation)}), frozenset({VIEW}))[0]

    assert first.action is (Action.SAME if is_enough else Action.CREATE)


@pytest.mark.parametrize(
    "found",
    [
        rule(name="citizen.", pattern="PREFIXED"),
        rule(pattern="PREFIXED"),
        rule(permission="DENY", operation="WRITE"),
        rule(operation="WRITE"),
        rule(name="other"),
        rule(resource_type="group"),
        rule(principal="User:healthcare", operation="DESCRIBE"),
    ],
)
def test_rule_about_something_else_does_not_count(found: Acl) -> None:
    """Only a literal rule for this principal, topic and operation gives what the topology says."""
    assert Action.CREATE in actions(found)


@pytest.mark.parametrize(
    ("found", "removal"),
    [
        (rule(principal="User:stranger"), f"--allow-principal 'User:stranger' --operation Read --topic '{VIEW}'"),
        (rule(operation="WRITE"), "--operation Write"),
        (rule(operation="ALTER_CONFIGS"), "--operation AlterConfigs"),
        (rule(operation="ALL"), "--operation All"),
        (rule(name="tellonce.marks.police"), "--topic 'tellonce.marks.police'"),
        (rule(name="*"), "--topic '*'"),
        (rule(name="tell", pattern="PREFIXED"), "--topic 'tell' --resource-pattern-type prefixed"),
        (rule(principal="User:*"), "'User:*'"),
        (rule(principal="User:x", host="10.0.0.7"), "--allow-host 10.0.0.7"),
        (rule(permission="DENY"), "--deny-principal 'User:fund'"),
        (rule(permission="DENY", principal="User:*", operation="ALL", name="*"), "--deny-principal 'User:*'"),
    ],
)
def test_rule_too_many_is_refused_with_the_command_that_removes_it(found: Acl, removal: str) -> None:
    """Who may read a topic without a legal basis is shown, however the rule is written; a person takes it away."""
    refused = [step for step in plan(rule(), found) if step.action is Action.REFUSED]

    assert [step.acl for step in refused] == [found]
    assert removal in (refused[0].reason or "")


@pytest.mark.parametrize(
    "found",
    [
        rule(name="payments"),
        rule(principal="User:monitoring", operation="DESCRIBE"),
        rule(principal="User:monitoring", resource_type="cluster", name="kafka-cluster", operation="DESCRIBE"),
        rule(permission="DENY", principal="User:stranger"),
    ],
)
def test_rule_that_opens_nothing_of_ours_is_left_alone(found: Acl) -> None:
    """A cluster has other users, and watching is no reading."""
    assert actions(rule(), found) == [Action.SAME]
