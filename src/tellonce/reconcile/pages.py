"""Pages of two sides' records, walked side by side in the order of their pseudonyms."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tellonce.control.messages import Answer, PageEntry
from tellonce.model.digest import bucket_of
from tellonce.reconcile.judge import Answered, Finding, Place, Standing, Verdict, judge

__all__ = ["END", "Judged", "Outcome", "Page", "Wanted", "judge_range", "page_of"]

END = "~"
"""Stands behind every pseudonym."""

Wanted = Mapping[str, Answered]
"""Records that were left undecided, with what the authority answered for them then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One side's records with `after` < pseudonym <= `upto`; whatever of that range is not in it is absent there."""

    after: str
    upto: str
    place: Place
    at_ms: int
    entries: Mapping[str, PageEntry]

    def of(self, pseudonym: str) -> Answered:
        """Gives what the side answered for a record of this range."""
        return Answered(self.entries.get(pseudonym), self.place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a drill-down found out about some records of one department's stream.

    It covers the records of these buckets and this range of pseudonyms, of those only the `wanted` if that is given.
    A covered record that is neither a finding nor undecided is equal.
    """

    department: str
    buckets: frozenset[int]
    bucket_count: int
    after: str = ""
    upto: str = END
    wanted: frozenset[str] | None = None
    findings: tuple[Finding, ...] = ()
    undecided: frozenset[str] = frozenset()

    def shows_equal(self, pseudonym: str) -> bool:
        """Tells whether the record was compared and no difference is left; findings are the caller's to look up."""
        return (
            self.after < pseudonym <= self.upto
            and pseudonym not in self.undecided
            and (self.wanted is None or pseudonym in self.wanted)
            and bucket_of(pseudonym, self.bucket_count) in self.buckets
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The verdicts on one range of pseudonyms; undecided records come with what the authority answered for them."""

    findings: tuple[Finding, ...]
    undecided: Wanted


def page_of(answer: Answer, after: str) -> Page | None:
    """Gives the page that was asked for behind `after`; None if the answer does not lead on from there."""
    upto = answer.next_after or END
    if upto <= after:
        return None
    return Page(
        after=after,
        upto=upto,
        place=Place(answer.epoch, answer.position),
        at_ms=answer.at_ms,
        entries={entry.pseudonym: entry for entry in answer.records if after < entry.pseudonym <= upto},
    )


def judge_range(
    authority: Page,
    department: Page,
    *,
    bounds: tuple[str, str],
    buckets: tuple[frozenset[int], int],
    wanted: Wanted | None,
) -> Judged:
    """Judges the records behind the first and up to the second of `bounds`, which both pages must cover.

    Only records of the given buckets (and of how many there are) are judged, and only the `wanted`, if that is given.
    Those are judged against what the authority answered the time before, too: a department that is always a little
    behind has by now passed that.
    """
    findings: list[Finding] = []
    undecided: dict[str, Answered] = {}
    for pseudonym in _to_judge(authority, department, bounds=bounds, buckets=buckets, wanted=wanted):
        held = department.of(pseudonym)
        now = authority.of(pseudonym)
        verdict, answered = _verdict((now,) if wanted is None else (now, wanted[pseudonym]), held)
        if verdict is Standing.UNDECIDED:
            undecided[pseudonym] = now
        elif not isinstance(verdict, Standing):
            findings.append(
                Finding(
                    pseudonym=pseudonym,
                    kind=verdict,
                    authority=answered,
                    department=held,
                    seen_at_ms=department.at_ms,
                )
            )
    return Judged(findings=tuple(findings), undecided=undecided)


def _verdict(authority: Sequence[Answered], department: Answered) -> tuple[Verdict, Answered]:
    for answered in authority:
        verdict = judge(answered, department)
        if verdict is not Standing.UNDECIDED:
            return verdict, answered
    return Standing.UNDECIDED, authority[0]


def _to_judge(
    authority: Page,
    department: Page,
    *,
    bounds: tuple[str, str],
    buckets: tuple[frozenset[int], int],
    wanted: Wanted | None,
) -> Iterator[str]:
    after, upto = bounds
    asked, bucket_count = buckets
    candidates: Iterable[str] = authority.entries.keys() | department.entries.keys() if wanted is None else wanted
    for pseudonym in candidates:
        if after < pseudonym <= upto and bucket_of(pseudonym, bucket_count) in asked:
            yield pseudonym
