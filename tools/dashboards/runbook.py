"""The runbook within Grafana: docs/alerts.md, a panel for each alert, so that links need no internet."""

import re

from dashboards.page import Page
from dashboards.panels import prose

__all__ = ["runbook_page"]


def runbook_page(text: str) -> Page:
    """Gives the page of a runbook in which each alert has a heading of the second rank."""
    chapters = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    return Page(
        name="runbook",
        title="Runbook",
        description="What each alert means, what to look at first, and what mends it; made from docs/alerts.md.",
        variables=[],
        panels=[prose(title, content.strip()) for title, _, content in (each.partition("\n") for each in chapters)],
    )
