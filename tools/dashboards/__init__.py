"""Grafana's dashboards for a city of any topology; `make docs` writes their JSON to deploy/grafana/dashboards."""

import json
from pathlib import Path

from dashboards.city import CITY
from dashboards.department import DEPARTMENT
from dashboards.page import Page, Query, for_prometheus, queries_of, render
from dashboards.reconciliation import RECONCILIATION
from dashboards.runbook import runbook_page
from dashboards.services import SERVICES
from dashboards.streams import STREAMS

__all__ = ["FOLDER", "Query", "for_prometheus", "pages", "queries", "render"]

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "grafana" / "dashboards"


def pages() -> tuple[Page, ...]:
    """Gives every page, the first one first."""
    runbook = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    return (CITY, DEPARTMENT, RECONCILIATION, STREAMS, SERVICES, runbook_page(runbook))


def queries() -> tuple[Query, ...]:
    """Gives every expression of every page, each with its page's uid and its panel's title."""
    return tuple(query for page in pages() for query in queries_of(json.loads(render(page))))
