"""Streams and outbox: what waits at the authorities, what flows, and what stands still."""

from dashboards import promql as q
from dashboards.city import OF, THIS_LINE
from dashboards.page import Page, Variable, runbook, to
from dashboards.panels import Column, counts, figure, lines, rows, words
from tellonce.observability import metrics as m

__all__ = ["STREAMS"]

_TYPES = ("department", "record_type")
_TYPE = "{{department}} {{record_type}}"
_PAIR = "{{department}} {{view}}"
_SERVICES = to("services", "Services", "department")
_RELAYS = words({0: "no relay", 1: "one relay", 2: "two relays"}, ("red", "green", "orange"))

STREAMS = Page(
    name="streams",
    title="Streams and outbox",
    description="What waits at the authorities, what flows to the departments, and what stands still.",
    variables=[Variable(label="department", metric=m.LEASE)],
    panels=[
        figure(
            "Changes that wait",
            f"{m.OUTBOX_PENDING.help} Worry when {m.OUTBOX_PENDING.worry}.",
            f"sum({q.told(m.OUTBOX_PENDING, _TYPES, department=OF)})",
            unit="short",
            to=runbook("TellonceOutboxOld"),
            shows=words({0: "none"}),
        ),
        figure(
            "Oldest of them",
            f"{m.OUTBOX_OLDEST.help} Worry when {m.OUTBOX_OLDEST.worry}.",
            f"max({q.pick(m.OUTBOX_OLDEST, department=OF)})",
            unit="s",
            shows=words({0: "none waits"}),
            to=runbook("TellonceOutboxOld"),
        ),
        figure(
            "Not acknowledged",
            f"{m.STAGED.help} Worry when {m.STAGED.worry}.",
            f"sum({q.told(m.STAGED, department=OF)})",
            shows=words({0: "none"}),
            to=_SERVICES,
        ),
        figure(
            "Cannot be published",
            f"{m.UNPUBLISHED.help} Worry when {m.UNPUBLISHED.worry}.",
            f"sum({q.told(m.UNPUBLISHED, department=OF)})",
            to=runbook("TellonceUnpublished"),
        ),
        figure(
            "Tables not captured as they should be",
            f"{m.CAPTURE_FINDINGS.help} Worry when {m.CAPTURE_FINDINGS.worry}.",
            f"sum({q.told(m.CAPTURE_FINDINGS, ('department', 'record_type'), department=OF)} > bool 0)",
            to=runbook("TellonceCaptureAltered"),
        ),
        figure(
            "Stopped streams",
            f"{m.STOPPED_STREAMS.help} Worry when {m.STOPPED_STREAMS.worry}.",
            f"sum({q.told(m.STOPPED_STREAMS, ('service', 'department', 'view'))})",
            to=runbook("TellonceStreamStopped"),
        ),
        figure(
            "Messages refused in an hour",
            f"{m.REFUSED.help} Worry when {m.REFUSED.worry}.",
            f"sum(increase({q.pick(m.REFUSED)}[1h]))",
            to=runbook("TellonceForged"),
        ),
        figure(
            "Authorities without one relay",
            "Authorities of which no relay holds the lease, or more than one believes to. Worry when it is not none "
            "for five minutes.",
            f"sum(sum by (department) ({q.pick(m.LEASE, department=OF)}) != bool 1)",
            to=runbook("TellonceNoRelay"),
        ),
        rows(
            "Authorities",
            "Each authority's relays, and what waits there. Worry when there is no relay, or what waits grows old.",
            ("department",),
            [
                Column(title="waits for", query=q.newest(m.OUTBOX_OLDEST, ("department",), department=OF), unit="s"),
                Column(title="changes", query=q.told(m.OUTBOX_PENDING, ("department",), department=OF), unit="short"),
                Column(title="not acknowledged", query=q.told(m.STAGED, ("department",), department=OF), unit="short"),
                Column(
                    title="cannot be published",
                    query=q.told(m.UNPUBLISHED, ("department",), department=OF),
                    shows=counts(),
                ),
                Column(
                    title="lease",
                    query=f"sum by (department) ({q.pick(m.LEASE, department=OF)})",
                    shows=_RELAYS,
                    to=to("services", "Its services", "department=${__data.fields.department}"),
                ),
            ],
            to=_SERVICES,
            height=7,
        ),
        lines(
            "Changes that wait, by record type",
            f"{m.OUTBOX_PENDING.help} Worry when {m.OUTBOX_PENDING.worry}.",
            {_TYPE: q.told(m.OUTBOX_PENDING, _TYPES, department=OF)},
            unit="short",
            to=runbook("TellonceOutboxOld"),
        ),
        lines(
            "Age of the oldest, by record type",
            f"{m.OUTBOX_OLDEST.help} Worry when {m.OUTBOX_OLDEST.worry}.",
            {_TYPE: q.newest(m.OUTBOX_OLDEST, _TYPES, department=OF)},
            unit="s",
            to=runbook("TellonceOutboxOld"),
        ),
        lines(
            "Published a second",
            f"{m.PUBLISHED.help} Worry when {m.PUBLISHED.worry}.",
            {"{{view}}": q.per_second(m.PUBLISHED, ("view",), department=OF)},
            unit="ops",
            to=_SERVICES,
        ),
        lines(
            "Applied a second, by department",
            "Events that the departments have applied. Worry when it stands still while events are published.",
            {"{{department}}": q.per_second(m.CONSUMED, ("department",), outcome="applied")},
            unit="ops",
            each=THIS_LINE,
            to=to("city", "City overview"),
        ),
        lines(
            "Messages not applied yet",
            f"{m.LAG_RECORDS.help} Worry when {m.LAG_RECORDS.worry}.",
            {_PAIR: q.known_sum(m.LAG_RECORDS)},
            unit="short",
            each=THIS_LINE,
            to=runbook("TellonceBehind"),
        ),
        lines(
            "Missing sequences",
            f"{m.MISSING_SEQUENCES.help} Worry when {m.MISSING_SEQUENCES.worry}.",
            {_PAIR: q.told(m.MISSING_SEQUENCES)},
            unit="short",
            each=THIS_LINE,
            to=to("city", "City overview"),
        ),
    ],
)
