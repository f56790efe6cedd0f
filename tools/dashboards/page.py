"""What a page is, how it refers to others, and what it may be narrowed to; `render` gives the JSON for Grafana."""

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from dashboards.panels import DATASOURCE, Link, Panel
from tellonce.observability.metrics import Metric

__all__ = ["Page", "Query", "Variable", "for_prometheus", "queries_of", "render", "runbook", "to"]

_PREFIX = "tellonce-"
_EVERYTHING = ".+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """What a page can be narrowed to: values of a label, as Prometheus has them."""

    label: str
    metric: Metric
    is_single: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A dashboard: its name is the end of its uid and of its file's name."""

    name: str
    title: str
    description: str
    variables: Sequence[Variable]
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """An expression that a panel of a page asks for."""

    page: str
    panel: str
    expression: str


def to(name: str, title: str, *variables: str) -> Link:
    """Gives a link to a page that keeps what is chosen here, and the time; `variables` are `name=value` or names."""
    chosen = [f"var-{variable}" if "=" in variable else f"${{{variable}:queryparam}}" for variable in variables]
    return Link(title=title, url=f"/d/{_PREFIX}{name}?{'&'.join((*chosen, '${__url_time_range}'))}")


def runbook(alert: str) -> Link:
    """Gives a link to the page on which docs/alerts.md explains an alert, within Grafana."""
    return Link(title=f"Runbook: {alert}", url=f"/d/{_PREFIX}runbook")


def render(page: Page) -> str:
    """Gives a page as the JSON that Grafana provisions."""
    built = (
        builders.Dashboard(page.title)
        .uid(f"{_PREFIX}{page.name}")
        .description(page.description)
        .tags(["tellonce"])
        .readonly()
        .timezone("browser")
        .time("now-6h", "now")
        # As often as Prometheus looks; more would ask for the same again.
        .refresh("15s")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .link(
            builders.DashboardLink("tellonce")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags(["tellonce"])
            .keep_time(keep_time=True)
        )
    )
    for variable in page.variables:
        built.with_variable(_variable(variable))
    for number, panel in enumerate(page.panels, start=1):
        # A builder is changed by what it is put into.
        built.with_panel(deepcopy(panel).id(number))
    return json.dumps(json.loads(JSONEncoder().encode(built.build())), indent=2, sort_keys=True) + "\n"


def queries_of(document: Mapping[str, Any]) -> Iterator[Query]:
    """Gives every expression of a dashboard's JSON, in the order of its panels."""
    for panel in document["panels"]:
        for target in panel.get("targets", ()):
            yield Query(page=document["uid"], panel=panel["title"], expression=target["expr"])


def for_prometheus(expression: str, variables: Mapping[str, str] | None = None) -> str:
    """Gives an expression as Grafana sends it: each variable with its value, by default with everything."""
    values = {"department": _EVERYTHING, "view": _EVERYTHING, "service": _EVERYTHING, **(variables or {})}
    for name, value in values.items():
        expression = expression.replace(f'"${name}"', f'"{value}"')
    return expression


def _variable(variable: Variable) -> builders.QueryVariable:
    built = (
        builders.QueryVariable(variable.label)
        .label(variable.label)
        .datasource(DATASOURCE)
        .query(f"label_values({variable.metric.served_name}, {variable.label})")
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    )
    if variable.is_single:
        return built
    everything = dashboard.VariableOption(selected=True, text="All", value="$__all")
    return built.multi(multi=True).include_all(include_all=True).all_value(_EVERYTHING).current(everything)
