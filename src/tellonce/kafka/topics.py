"""Making the topics and access rules that a topology needs: first the plan, then, when a person agrees, the deed.

Nothing is deleted or made shorter, and partitions are never added: what would need it is shown and left to a person.
Settings that the topology does not state stay as they are.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tellonce.kafka.access import acl_steps, acls_wanted
from tellonce.kafka.admin import Absence, Acl, Admin, ClusterFacts, TopicFacts
from tellonce.kafka.connection import check_connection
from tellonce.kafka.plan import Action, Change, NewTopic, Step, TopicsPlan
from tellonce.kafka.settings import KafkaSettings
from tellonce.kafka.topic_differences import durability_settings, existing_topic_steps
from tellonce.model.errors import ConfigurationError, RetryableError, TellonceError
from tellonce.topology.topics import AclRule, TopicSpec

__all__ = ["PlanOptions", "apply_plan", "plan_topics"]

_CLIENT_ID = "tellonce-topics"
_USUAL_REPLICAS = 3
_VISIBLE_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What an installation decides for itself.

    `replication_factor` is min(3, brokers) where it is None. `principals` names the broker's principal of a department
    (or of `reconciler`, `operator`) where that is not `User:<name>`, such as a certificate's subject.
    """

    replication_factor: int | None = None
    principals: Mapping[str, str] = field(default_factory=dict[str, str])


def plan_topics(
    settings: KafkaSettings,
    specs: Iterable[TopicSpec],
    acls: Iterable[AclRule] = (),
    options: PlanOptions | None = None,
) -> TopicsPlan:
    """Gives what has to be done so that the cluster has these topics and rules; nothing is changed.

    Without `acls` access rules are left alone. Each topic that is to be made is first tried out by the broker, so that
    its own policies speak now.

    Raises:
        RetryableError: no broker answered.
        ConfigurationError: this user may not see topics or access rules, without which a plan would be wrong.
    """
    options = options or PlanOptions()
    check_connection(settings, client_id=_CLIENT_ID)
    admin = Admin(settings, _CLIENT_ID)
    if not admin.metadata().has_controller:
        message = (
            f"{settings.bootstrap_servers} is an embedded broker, which keeps neither settings nor access rules: "
            "plan against a real Kafka"
        )
        raise ConfigurationError(message)
    cluster = admin.cluster()
    specs = tuple(specs)
    steps, notes = _plan_access(admin, settings, cluster, acls_wanted(acls, options.principals), specs)
    steps += _plan_topics(admin, settings, specs, options.replication_factor or min(_USUAL_REPLICAS, cluster.brokers))
    return TopicsPlan(steps=tuple(steps), notes=notes)


def _plan_access(
    admin: Admin, settings: KafkaSettings, cluster: ClusterFacts, wanted: frozenset[Acl], specs: tuple[TopicSpec, ...]
) -> tuple[list[Step], tuple[str, ...]]:
    if not wanted:
        return [], ()
    if not cluster.has_authorizer:
        note = (
            f"{len(wanted)} access rules are not applied, because the broker has no authorizer: every client may read "
            "and write every topic; set authorizer.class.name on the brokers to enforce the topology"
        )
        return [], (note,)
    if "DESCRIBE" not in cluster.operations:
        message = (
            f"{settings.identity} may not see access rules at {settings.bootstrap_servers}, and the broker would show "
            "none instead of saying so: use an administrator with DESCRIBE on the cluster, or plan topics alone"
        )
        raise ConfigurationError(message)
    return acl_steps(wanted, admin.acls(), frozenset(spec.name for spec in specs)), ()


def _plan_topics(
    admin: Admin, settings: KafkaSettings, specs: tuple[TopicSpec, ...], replication_factor: int
) -> list[Step]:
    facts = admin.topics(spec.name for spec in specs)
    hidden = [name for name, found in facts.items() if found is Absence.HIDDEN]
    if hidden:
        message = (
            f"{settings.identity} may not see topic {hidden[0]} at {settings.bootstrap_servers}, be it there or not: "
            "use an administrator with DESCRIBE on all topics"
        )
        raise ConfigurationError(message, topic=hidden[0])
    there = [name for name, found in facts.items() if isinstance(found, TopicFacts)]
    in_force = admin.topic_settings(there)
    steps: list[Step] = []
    for spec in specs:
        found = facts[spec.name]
        if isinstance(found, TopicFacts):
            # By the replicas that it has: two in sync asked of a topic with one would end all writing.
            wanted = durability_settings(found.replication_factor) | spec.configs
            steps += existing_topic_steps(spec, found, wanted, in_force[spec.name], replication_factor)
        else:
            wanted = durability_settings(replication_factor) | spec.configs
            steps.append(_new_topic(admin, spec, wanted, replication_factor))
    return steps


def _new_topic(admin: Admin, spec: TopicSpec, settings: Mapping[str, str], replication_factor: int) -> Step:
    step = Step(
        action=Action.CREATE,
        resource="topic",
        name=spec.name,
        new_topic=NewTopic(partitions=spec.partitions, replication_factor=replication_factor),
        settings={name: Change(before=None, after=value) for name, value in settings.items()},
    )
    try:
        _create(admin, step, is_trial=True)
    except ConfigurationError as error:
        # A plan may be made by someone who may not carry it out.
        if error.facts.get("kafka_error") == "TOPIC_AUTHORIZATION_FAILED":
            return step
        return Step(
            action=Action.REFUSED, resource="topic", name=spec.name, reason=f"the broker would refuse it: {error}"
        )
    return step


def _create(admin: Admin, step: Step, *, is_trial: bool = False) -> None:
    if step.new_topic is not None:
        admin.create_topic(
            step.name,
            partitions=step.new_topic.partitions,
            replication_factor=step.new_topic.replication_factor,
            settings={name: change.after for name, change in step.settings.items()},
            is_trial=is_trial,
        )


def apply_plan(
    settings: KafkaSettings, plan: TopicsPlan, on_step: Callable[[Step], None] | None = None
) -> tuple[Step, ...]:
    """Take the plan's pending steps, one by one, and give those taken; return when the cluster shows them all.

    Access rules come before topics, so that no topic is open for a moment. `on_step` is told each step once it is done.
    Where a step fails those before it stay, and a new plan holds what is left.

    Raises:
        RetryableError: the cluster did not answer, or does not show a step within 10 s.
        ConfigurationError: the broker refuses a step, or this user lacks a right.
    """
    if not plan.pending:
        return ()
    check_connection(settings, client_id=_CLIENT_ID)
    admin = Admin(settings, _CLIENT_ID)
    if any(step.resource == "acl" for step in plan.pending) and "ALTER" not in admin.cluster().operations:
        message = (
            f"{settings.identity} may not make access rules at {settings.bootstrap_servers}: nothing was changed; "
            "use an administrator with ALTER on the cluster"
        )
        raise ConfigurationError(message)
    done: list[Step] = []
    for step in plan.pending:
        try:
            _take(admin, step)
        except TellonceError as error:
            message = f"{error}; {len(done)} of {len(plan.pending)} steps were done and stay, plan again for the rest"
            raise type(error)(message, **error.facts) from error
        done.append(step)
        if on_step is not None:
            on_step(step)
    _await_visible(admin, done)
    return tuple(done)


def _take(admin: Admin, step: Step) -> None:
    if step.acl is not None:
        admin.create_acl(step.acl)
    elif step.action is Action.CREATE:
        _create(admin, step)
    else:
        admin.change_settings(step.name, {name: change.after for name, change in step.settings.items()})


def _await_visible(admin: Admin, done: list[Step]) -> None:
    """Wait until the broker itself acts by what its controller has stored."""
    deadline = time.monotonic() + _VISIBLE_SECONDS
    while True:
        missing = _not_visible(admin, done)
        if not missing:
            return
        if time.monotonic() >= deadline:
            message = (
                f"the cluster took {len(done)} steps but does not show {missing[0]} after {_VISIBLE_SECONDS:g} s: "
                "look at its controller's log, then plan again"
            )
            raise RetryableError(message)
        time.sleep(_LOOK_AGAIN_SECONDS)


def _not_visible(admin: Admin, done: list[Step]) -> list[str]:
    acls = {step.acl for step in done if step.acl is not None}
    missing = [str(acl) for acl in sorted(acls - admin.acls())] if acls else []
    facts = admin.topics(step.name for step in done if step.resource == "topic")
    there = [name for name, found in facts.items() if isinstance(found, TopicFacts)]
    missing += [name for name in facts if name not in there]
    in_force = admin.topic_settings(there)
    for step in done:
        if step.name in in_force:
            differing = (n for n, change in step.settings.items() if in_force[step.name].get(n) != change.after)
            missing += [f"{name} of {step.name}" for name in differing]
    return missing
