"""The few kinds of panels that the pages are made of: a figure, lines, states over time, a table, and a text.

Each says what it shows, in which unit, when to worry, and where to look next; what is not known is called unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, text, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

__all__ = [
    "DATASOURCE",
    "GREEN_TO_RED",
    "Column",
    "Link",
    "Panel",
    "counts",
    "figure",
    "lines",
    "prose",
    "rows",
    "states",
    "words",
]

DATASOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="tellonce-prometheus")
"""The Prometheus that deploy/grafana/provisioning names."""

GREEN_TO_RED = ("green", "yellow", "orange", "purple", "red")

Panel = stat.Panel | timeseries.Panel | statetimeline.Panel | table.Panel | text.Panel
_OverTime = TypeVar("_OverTime", timeseries.Panel, statetimeline.Panel)
Mappings = Sequence[dashboard.ValueMapping]

_UNKNOWN = dashboard.SpecialValueMap(
    options=dashboard.DashboardSpecialValueMapOptions(
        match=dashboard.SpecialValueMatch.NULL_AND_NAN,
        result=dashboard.ValueMappingResult(text="unknown", color="purple"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where to look next: a page of these with what is chosen kept, or the page of an alert in the runbook."""

    title: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table: what it is called, what it asks for, and how that is shown."""

    title: str
    query: str
    unit: str = "none"
    shows: Mappings = (_UNKNOWN,)
    to: Link | None = None


def words(texts: Mapping[int, str], colors: Sequence[str] = GREEN_TO_RED, *, missing: str = "unknown") -> Mappings:
    """Gives the words, with their colours, that stand for numbers from the best to the worst."""
    options = {
        str(number): dashboard.ValueMappingResult(text=said, color=colors[at], index=at)
        for at, (number, said) in enumerate(texts.items())
    }
    return [*([dashboard.ValueMap(options=options)] if options else []), _missing(missing)]


def counts(none: str = "none", *, missing: str = "unknown") -> Mappings:
    """Gives what to show for a number that had better be 0, and is red otherwise."""
    above = dashboard.DashboardRangeMapOptions(from_val=1e-9, result=dashboard.ValueMappingResult(color="red"))
    return [*words({0: none}, missing=missing)[:1], dashboard.RangeMap(options=above), _missing(missing)]


def _missing(said: str) -> dashboard.SpecialValueMap:
    if said == "unknown":
        return _UNKNOWN
    result = dashboard.ValueMappingResult(text=said, color="text")
    match = dashboard.SpecialValueMatch.NULL_AND_NAN
    return dashboard.SpecialValueMap(options=dashboard.DashboardSpecialValueMapOptions(match=match, result=result))


def figure(title: str, says: str, query: str, *, to: Link, unit: str = "none", shows: Mappings | None = None) -> Panel:
    """Gives one number, or the word for it."""
    return (
        stat.Panel()
        .title(title)
        .description(says)
        .datasource(DATASOURCE)
        .with_target(_query(query, "A").instant())
        .unit(unit)
        .mappings(list(counts() if shows is None else shows))
        .no_value("unknown")
        .thresholds(_plain("blue"))
        # The last value also where it is NaN; the default leaves that out and shows an older one.
        .reduce_options(common_builders.ReduceDataOptions().calcs(["last"]))
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(common.BigValueGraphMode.NONE)
        .links([_link(to)])
        .height(4)
        .span(4)
    )


def lines(title: str, says: str, queries: Mapping[str, str], *, unit: str, to: Link, each: Link | None = None) -> Panel:
    """Gives lines over time; `queries` by how their legend is written, `each` is the link of a single line."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(says)
        .datasource(DATASOURCE)
        .unit(unit)
        .min(0)
        .no_value("unknown")
        .mappings([_UNKNOWN])
        .color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC))
        .legend(
            common_builders.VizLegendOptions()
            .show_legend(show_legend=True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
        )
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        .links([_link(to)])
        .data_links(_links(each))
        .height(8)
        .span(12)
    )
    return _with_ranges(panel, queries)


def states(
    title: str, says: str, queries: Mapping[str, str], *, shows: Mappings, to: Link, each: Link | None = None
) -> Panel:
    """Gives a bar over time for each label set, in the colours and words of its states; see `lines`."""
    panel = (
        statetimeline.Panel()
        .title(title)
        .description(says)
        .datasource(DATASOURCE)
        .unit("none")
        .mappings(list(shows))
        .no_value("unknown")
        .thresholds(_plain("text"))
        .merge_values(merge_values=True)
        .show_value(common.VisibilityMode.AUTO)
        .links([_link(to)])
        .data_links(_links(each))
        .height(18)
        .span(24)
    )
    return _with_ranges(panel, queries)


@dataclass(slots=True)
class _Override:
    """How a column differs from the others."""

    properties: list[dashboard.DynamicConfigValue] = field(default_factory=list[dashboard.DynamicConfigValue])

    def set(self, name: str, value: object) -> None:
        self.properties.append(dashboard.DynamicConfigValue(id_val=name, value=value))


def rows(
    title: str, says: str, labels: Sequence[str], columns: Sequence[Column], *, to: Link, height: int = 12
) -> Panel:
    """Gives a table with a row for each label set, the largest of the first column on top.

    `labels` are those of every column's answer; with fewer than two columns Grafana would name the fields otherwise.
    """
    panel = (
        table.Panel()
        .title(title)
        .description(says)
        .datasource(DATASOURCE)
        .unit("none")
        .no_value("unknown")
        .thresholds(_plain("text"))
        .links([_link(to)])
        .height(height)
        .span(24)
        .sort_by([common_builders.TableSortByFieldState().display_name(columns[0].title).desc(desc=True)])
    )
    fields = {_field(ref): column.title for ref, column in _referred(columns)}
    for ref, column in _referred(columns):
        panel.with_target(_query(column.query, ref).instant().format(PromQueryFormat.TABLE))
        panel.override_by_name(column.title, _shown(column).properties)
    panel.with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
    return panel.with_transformation(
        dashboard.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: at for at, name in enumerate([*labels, *fields])},
                "renameByName": fields,
            },
        )
    )


def prose(title: str, content: str) -> Panel:
    """Gives a text in Markdown."""
    return text.Panel().title(title).mode(TextMode.MARKDOWN).content(content).height(9).span(12)


def _plain(color: str) -> builders.ThresholdsConfig:
    """Gives one colour for every number that has no word: the default turns red at 80, of whatever."""
    steps = [dashboard.Threshold(color=color)]
    return builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _referred(columns: Sequence[Column]) -> list[tuple[str, Column]]:
    return list(zip("ABCDEFGHIJKLMNOP"[: len(columns)], columns, strict=True))


def _field(ref: str) -> str:
    """The name that Grafana gives to a query's numbers in a table of several queries."""
    return f"Value #{ref}"


def _shown(column: Column) -> _Override:
    override = _Override()
    override.set("unit", column.unit)
    override.set("mappings", column.shows)
    override.set("custom.cellOptions", common.TableColorTextCellOptions())
    if column.to is not None:
        override.set("links", [{"title": column.to.title, "url": column.to.url}])
    return override


def _query(expression: str, ref: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expression).ref_id(ref).datasource(DATASOURCE)


def _with_ranges(panel: _OverTime, queries: Mapping[str, str]) -> _OverTime:
    for ref, (legend, query) in zip("ABCDEFGH"[: len(queries)], queries.items(), strict=True):
        panel.with_target(_query(query, ref).range().legend_format(legend))
    return panel


def _links(each: Link | None) -> list[Builder[dashboard.DashboardLink]]:
    return [] if each is None else [_link(each)]


def _link(to: Link) -> builders.DashboardLink:
    return builders.DashboardLink(to.title).url(to.url).type(dashboard.DashboardLinkType.LINK)
