"""The dashboards ask for metrics that there are, say what they show, and lead to pages that exist."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from grafana_foundation_sdk.models.dashboard import Dashboard
from ruamel.yaml import YAML

from dashboards import FOLDER, Query, for_prometheus, pages, queries, render
from tellonce.observability.metrics import METRICS, Kind, Metric
from tellonce.topology import load_topology

ROOT = Path(__file__).parents[2]
DOCUMENTS: Mapping[str, dict[str, Any]] = {page.name: json.loads(render(page)) for page in pages()}
PANELS = [(name, panel) for name, document in DOCUMENTS.items() for panel in document["panels"]]
FIGURES = [(name, panel) for name, panel in PANELS if panel["type"] != "text"]
# What Prometheus says of its own rules.
ALERTS = {"ALERTS": {"alertname", "alertstate", "severity"}}


def served(metric: Metric) -> dict[str, set[str]]:
    """The names of a metric's series, and the labels that each has."""
    labels = set(metric.labels)
    if metric.kind is not Kind.HISTOGRAM:
        return {metric.served_name: labels}
    return {f"{metric.name}_bucket": {*labels, "le"}, f"{metric.name}_count": labels, f"{metric.name}_sum": labels}


SERIES = {name: labels for metric in METRICS for name, labels in served(metric).items()} | ALERTS


def parts(expression: str) -> list[Any]:
    """Every part of an expression, as it parses."""
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(expression), lambda part: found.append(part))  # noqa: PLW0108 - None goes on
    return found


def selectors(expression: str) -> Iterator[Any]:
    """The series that an expression asks for."""
    for part in parts(expression):
        if isinstance(part, promql_parser.MatrixSelector):
            yield part.vector_selector
        elif isinstance(part, promql_parser.VectorSelector):
            yield part


def urls(panel: Mapping[str, Any]) -> Iterator[str]:
    """Every link of a panel, of its lines and of its columns."""
    yield from (link["url"] for link in panel.get("links", ()))
    yield from (link["url"] for link in panel.get("fieldConfig", {}).get("defaults", {}).get("links", ()))
    for override in panel.get("fieldConfig", {}).get("overrides", ()):
        for each in override["properties"]:
            if each["id"] == "links":
                yield from (link["url"] for link in each["value"])


def test_committed_json_is_what_the_generator_makes() -> None:
    """Grafana is given what the code says, and no page that the code does not know."""
    committed = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}

    assert committed == {page.name: render(page) for page in pages()}


def test_json_is_what_grafanas_own_types_say() -> None:
    """Read with the types that are made from Grafana's schema and written again, each page is the same."""
    for name, document in DOCUMENTS.items():
        again = json.loads(json.dumps(Dashboard.from_json(document), default=lambda part: part.to_json()))

        assert again == document, name


def test_every_page_and_panel_can_be_named() -> None:
    """Pages differ in uid and title, the panels of a page in id, title and place."""
    assert len({document["uid"] for document in DOCUMENTS.values()}) == len(DOCUMENTS)
    assert len({document["title"] for document in DOCUMENTS.values()}) == len(DOCUMENTS)
    for name, document in DOCUMENTS.items():
        for key in ("id", "title", "gridPos"):
            values = [json.dumps(panel[key]) for panel in document["panels"]]
            assert len(set(values)) == len(values), (name, key)


@pytest.mark.parametrize("query", queries(), ids=lambda query: f"{query.page}: {query.panel}")
def test_every_expression_asks_for_metrics_with_the_labels_that_they_have(query: Query) -> None:
    """An expression parses, and names only series and labels that the services serve."""
    for expression in (query.expression, for_prometheus(query.expression)):
        asked = list(selectors(expression))

        assert asked
        for selector in asked:
            assert selector.name in SERIES
            assert {matcher.name for matcher in selector.matchers.matchers} <= SERIES[selector.name]
    assert "$" not in for_prometheus(query.expression).replace('"$1"', "")


@pytest.mark.parametrize("query", queries(), ids=lambda query: f"{query.page}: {query.panel}")
def test_every_grouping_is_by_labels_that_are_there(query: Query) -> None:
    """What is summed by a label has that label, from its metric or from a `label_replace` within."""
    for part in parts(query.expression):
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None:
            inner = part.expr.prettify()
            labels = set(re.findall(r'label_replace\(.*?"(term|record_type)"', inner, re.DOTALL))
            for selector in selectors(inner):
                labels |= SERIES[selector.name]
            assert set(part.modifier.labels) <= labels


def test_every_metric_is_shown() -> None:
    """No metric is served for nobody to look at."""
    asked = {selector.name for query in queries() for selector in selectors(query.expression)}

    assert [metric.name for metric in METRICS if not asked & served(metric).keys()] == []


@pytest.mark.parametrize(("name", "panel"), FIGURES, ids=[f"{name}: {panel['title']}" for name, panel in FIGURES])
def test_every_panel_says_what_it_shows(name: str, panel: dict[str, Any]) -> None:
    """A panel has a unit, says when to worry, leads onward, and calls what is not known unknown."""
    defaults = panel["fieldConfig"]["defaults"]

    assert defaults["unit"], name
    assert "Worry" in panel["description"]
    assert panel["description"].endswith(".")
    assert panel["links"]
    assert defaults["noValue"] == "unknown"


@pytest.mark.parametrize(("name", "panel"), FIGURES, ids=[f"{name}: {panel['title']}" for name, panel in FIGURES])
def test_every_number_that_is_not_known_has_a_word(name: str, panel: dict[str, Any]) -> None:
    """NaN is shown as a word, never as a number: unknown, or a dash where it means that there is none."""
    fields = [panel["fieldConfig"]["defaults"].get("mappings")]
    if panel["type"] == "table":
        fields = [
            each["value"]
            for override in panel["fieldConfig"]["overrides"]
            for each in override["properties"]
            if each["id"] == "mappings"
        ]
        assert len(fields) == len(panel["targets"]), name
    for mappings in fields:
        said = [each["options"]["result"]["text"] for each in mappings if each["type"] == "special"]
        assert said in (["unknown"], ["–"]), name


def test_every_colour_has_a_word() -> None:
    """Where a number has a colour of its own, it has a word, too; a number above 0 is its own word."""
    for name, panel in FIGURES:
        for found in re.findall(r'\{"color": "[a-z]+"[^{}]*\}', json.dumps(panel, sort_keys=True)):
            result = json.loads(found)
            assert (
                "text" in result
                or result in ({"color": "red"}, {"color": "blue", "value": None})
                or (result == {"color": "text", "value": None})
            ), (name, panel["title"], result)


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=[f"{name}: {panel['title']}" for name, panel in PANELS])
def test_every_link_leads_to_a_page_that_takes_what_it_hands_on(name: str, panel: dict[str, Any]) -> None:
    """A link names one of these pages, hands on variables that the page has, and names no other of this page."""
    known = {document["uid"]: document for document in DOCUMENTS.values()}
    here = {variable["name"] for variable in DOCUMENTS[name].get("templating", {}).get("list", ())}

    for url in urls(panel):
        path, _, query = url.partition("?")
        assert path.removeprefix("/d/") in known, url
        variables = known[path[3:]].get("templating", {}).get("list", ())
        there = {variable["name"] for variable in variables}
        assert {*re.findall(r"var-(\w+)=", query), *re.findall(r"\$\{(\w+):queryparam\}", query)} <= there, url
        handed_on = set(re.findall(r"\$\{(\w+):queryparam\}", query))
        assert handed_on <= here, url
        # Several may be chosen here, which a page about one does not take.
        assert name == "department" or not handed_on - {each["name"] for each in variables if each["multi"]}, url


def test_runbook_page_has_every_alert_that_a_link_names() -> None:
    """A link to an alert's help finds it: the page holds docs/alerts.md, one panel for each alert."""
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    there = {panel["title"]: panel["options"]["content"] for panel in DOCUMENTS["runbook"]["panels"]}
    named = {
        title
        for _, panel in FIGURES
        for link in panel["links"]
        for title in re.findall(r"^Runbook: (\w+)$", link["title"])
    }

    assert named
    assert named <= there.keys()
    assert list(there) == re.findall(r"^## (\w+)$", page, re.MULTILINE)
    assert all(content in page for content in there.values())


def test_pages_know_no_city() -> None:
    """The pages work for any topology: none names a department, a view or a record type."""
    topology = load_topology(ROOT / "topology.yaml")
    names = [*topology.departments, *(view.name for view in topology.views())]

    for name, document in DOCUMENTS.items():
        shown = json.dumps(document)
        assert [each for each in names if each in shown] == [], name


def test_pages_ask_the_datasource_that_is_provisioned() -> None:
    """Every panel and variable asks the one Prometheus that Grafana is told of, by its fixed uid."""
    path = ROOT / "deploy" / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
    uids = {source["uid"] for source in YAML(typ="safe").load(path)["datasources"]}

    for name, document in DOCUMENTS.items():
        asked = set(re.findall(r'"type": "prometheus", "uid": "([^"]+)"', json.dumps(document, sort_keys=True)))
        assert asked == (set() if name == "runbook" else uids), name
