"""Commands about the contract between departments: check it, publish schemas, make keys, plan and make topics."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from tellonce.avro.catalogue import Catalogue
from tellonce.avro.check import check_schemas
from tellonce.avro.lock import extend_lock
from tellonce.cli.options import AsJson, EnvFile, settings_from
from tellonce.cli.settings import Settings
from tellonce.declare import load_bindings, load_source
from tellonce.declare.check import check_binding, check_source, doubts_about_binding
from tellonce.declare.loading import module_file
from tellonce.kafka.plan import TopicsPlan
from tellonce.keyring import new_signing_key, new_view_keys
from tellonce.model.errors import ConfigurationError, TellonceError
from tellonce.observability.tables import say, show_json
from tellonce.topology import Topology, acls_of, check_topology, load_topology, to_mermaid, to_text, topics_of
from tellonce.topology.schema import topology_json_schema

__all__ = ["register"]

schemas_app = typer.Typer(no_args_is_help=True, help="The published Avro schemas and their lock.")
keys_app = typer.Typer(no_args_is_help=True, help="The secret keys of views.")
topics_app = typer.Typer(no_args_is_help=True, help="The Kafka topics and permissions of the topology.")
topology_app = typer.Typer(no_args_is_help=True, help="The topology as a picture or as a schema for editors.")


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command("check")(check)
    app.add_typer(schemas_app, name="schemas")
    app.add_typer(keys_app, name="keys")
    app.add_typer(topics_app, name="topics")
    app.add_typer(topology_app, name="topology")


def check(env_file: EnvFile = None, as_json: AsJson = False) -> None:
    """Check topology, schemas, and the declarations that are here, offline."""
    settings = settings_from(env_file)
    started = time.perf_counter()
    warnings: list[str] = []
    problems: list[str] = []
    try:
        checked = check_topology(settings.topology)
        warnings = [str(finding) for finding in checked.warnings]
        problems = [finding.text for finding in check_schemas(settings.schemas, checked.topology)]
        if not problems:
            catalogue = Catalogue.load(settings.schemas, checked.topology)
            problems, doubts = _declaration_problems(settings, checked.topology, catalogue)
            warnings += doubts
    except ConfigurationError as error:
        problems = str(error).splitlines()
    if as_json:
        show_json({"format": 1, "problems": problems, "warnings": warnings})
    else:
        for line in (*warnings, *problems):
            print(line)
        seconds = time.perf_counter() - started
        say(f"{len(problems)} problems, {len(warnings)} warnings in {seconds:.2f} s")
    raise typer.Exit(3 if problems else 0)


def _declaration_problems(settings: Settings, topology: Topology, catalogue: Catalogue) -> tuple[list[str], list[str]]:
    """Gives problems and warnings of those departments whose declarations are in this checkout."""
    found: list[str] = []
    doubts: list[str] = []
    for department in topology.departments:
        try:
            if module_file(settings.producers, department).exists():
                for source in load_source(settings.producers, department):
                    specs = {
                        spec.name: spec
                        for view in topology.published_by(department)
                        if view.record_type == source.record_type
                        for spec in catalogue.view_schema(view.name).fields
                    }
                    sharing = topology.fields_of(source.record_type)
                    found += [str(finding) for finding in check_source(source, specs.values(), sharing)]
            if module_file(settings.consumers, department).exists():
                names = [subscription.view for subscription in topology.subscribed_by(department)]
                for binding in load_bindings(settings.consumers, department, subscribed=names):
                    view, schema = topology.view(binding.view), catalogue.view_schema(binding.view)
                    found += [str(f) for f in check_binding(binding, schema, view, department=department)]
                    doubts += [str(f) for f in doubts_about_binding(binding)]
        except TellonceError as error:
            found += str(error).splitlines()
    return found, doubts


@schemas_app.command("check")
def schemas_check(env_file: EnvFile = None, as_json: AsJson = False) -> None:
    """Check the schemas, their lock, and that every version can be read as every other."""
    settings = settings_from(env_file)
    findings = check_schemas(settings.schemas, load_topology(settings.topology))
    if as_json:
        show_json({"format": 1, "problems": [finding.text for finding in findings]})
    else:
        for finding in findings:
            print(finding.text)
        say(f"{len(findings)} problems")
    raise typer.Exit(7 if findings else 0)


@schemas_app.command("lock")
def schemas_lock(env_file: EnvFile = None) -> None:
    """Give new schemas their ids and write them to the lock; what is published already never changes."""
    settings = settings_from(env_file)
    for entry in extend_lock(settings.schemas, load_topology(settings.topology)):
        print(f"{entry.id} {entry.subject} version {entry.version}")


@keys_app.command("new")
def keys_new(
    views: Annotated[list[str] | None, typer.Argument(help="Views, such as citizen.identity.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every view that has no key yet.")] = False,
    env_file: EnvFile = None,
) -> None:
    """Make the key file of views, at their authority; hand each to the view's subscribers on a safe way."""
    settings = settings_from(env_file)
    topology = load_topology(settings.topology)
    names = [topology.view(name).name for name in views or ()]
    if everything:
        names = [v.name for v in topology.views() if not (settings.keys / f"{v.name}.key").exists()]
    if not names:
        msg = "expected the views to make keys for, or --all for those that have none; found nothing to do"
        raise ConfigurationError(msg)
    for name in names:
        print(new_view_keys(settings.keys, name))


@keys_app.command("sign")
def keys_sign(
    principals: Annotated[list[str], typer.Argument(help="Departments, `reconciler`, `operator`.")],
    env_file: EnvFile = None,
) -> None:
    """Make the secret key with which a principal signs, on its own host; print what topology.yaml lists of it."""
    from tellonce.control.signing import public_key_of
    from tellonce.topology.topics import OPERATOR, RECONCILER

    settings = settings_from(env_file)
    topology = load_topology(settings.topology)
    for name in principals:
        if name not in {RECONCILER, OPERATOR}:
            topology.department(name)
    print("signing_keys:")
    for name in principals:
        print(f"  {name}: [{public_key_of(new_signing_key(settings.keys, name))}]")


Replicas = Annotated[
    int | None, typer.Option("--replication-factor", min=1, help="Copies; min(3, brokers) if not given.")
]
Principals = Annotated[
    list[str] | None,
    typer.Option("--principal", help="NAME=PRINCIPAL where the broker calls a department otherwise than User:NAME."),
]


@topics_app.command("plan")
def topics_plan(
    replicas: Replicas = None, principal: Principals = None, env_file: EnvFile = None, as_json: AsJson = False
) -> None:
    """Show what `topics apply` would make; nothing is changed. Exit 5 if something is to be done."""
    plan = _plan(settings_from(env_file), replicas, principal)
    if as_json:
        show_json(plan.as_json())
    else:
        print(plan.render())
    raise typer.Exit(5 if plan.pending else 0)


@topics_app.command("apply")
def topics_apply(
    replicas: Replicas = None, principal: Principals = None, env_file: EnvFile = None, as_json: AsJson = False
) -> None:
    """Make topics and permissions; nothing is ever deleted or shrunk."""
    from tellonce.kafka.topics import apply_plan

    settings = settings_from(env_file)
    plan = _plan(settings, replicas, principal)
    if not as_json:
        print(plan.render())
    done = apply_plan(settings.kafka, plan)
    if as_json:
        show_json({**plan.as_json(), "done": len(done)})
    else:
        say(f"{len(done)} steps were done")


def _plan(settings: Settings, replicas: int | None, principals: list[str] | None) -> TopicsPlan:
    from tellonce.kafka.topics import PlanOptions, plan_topics

    pairs = [text.partition("=") for text in principals or ()]
    if wrong := [text for text, equals, value in pairs if not equals or not value]:
        msg = f"expected --principal NAME=PRINCIPAL, such as fund=User:CN=fund, found {wrong[0]}"
        raise ConfigurationError(msg)
    topology = load_topology(settings.topology)
    options = PlanOptions(replication_factor=replicas, principals={name: principal for name, _, principal in pairs})
    return plan_topics(settings.kafka, topics_of(topology), acls_of(topology), options)


@topology_app.command("show")
def topology_show(
    mermaid: Annotated[bool, typer.Option("--mermaid", help="As a Mermaid diagram.")] = False, env_file: EnvFile = None
) -> None:
    """Show who feeds whom, and on what legal basis."""
    topology = load_topology(settings_from(env_file).topology)
    print(to_mermaid(topology) if mermaid else to_text(topology))


@topology_app.command("rules")
def topology_rules(env_file: EnvFile = None) -> None:
    """Give Prometheus' rules for this city: alerts on each subscription's objective, and on what must not be."""
    from tellonce.observability.alerts import render_rules

    print(render_rules(load_topology(settings_from(env_file).topology)), end="")


@topology_app.command("schema")
def topology_schema(to: Annotated[Path | None, typer.Option(help="File to write instead.")] = None) -> None:
    """Give the JSON schema of topology.yaml, for editors."""
    text = json.dumps(topology_json_schema(), indent=2, ensure_ascii=False)
    if to is None:
        print(text)
    else:
        to.write_text(text + "\n", encoding="utf-8")
