"""The laws by which a department's rows stay right, L1 to L9, on every store."""

import json

import pytest

from apply.bench import Bench, MakeBench, Shape
from contract.forms import id_number, short_number
from tellonce.apply.batch import Offered
from tellonce.apply.sweep import sweep_rows
from tellonce.model.digest import MODULUS, from_hex
from tellonce.model.divergence import Reason, RecordState
from tellonce.storage.subscriber.entries import Coverage

A, B, C = id_number(1), id_number(2), id_number(3)
A15 = short_number(1)


class TestL1RowAnswersToItsRecord:
    """A row is written only if it is open and answers to the record."""

    def test_row_that_became_another_persons_is_left_alone(self, bench: Bench) -> None:
        """A clerk used the row for somebody else; the record parks, and its link stays for a person to decide."""
        key = bench.row(A)
        bench.apply(bench.event(1, A, "Wang"))
        bench.change(key, number=B, name="Stranger")

        bench.apply(bench.event(1, A, "Wang 2nd"))

        assert bench.names() == {B: "Stranger"}
        assert (bench.reason(1), bench.state(1)) == (Reason.ROW_REASSIGNED, RecordState.PARKED)
        assert bench.links(1) == [key]

    def test_row_that_became_another_persons_is_not_deleted(self, bench: Bench) -> None:
        """Nor does the record's end end it."""
        key = bench.row(A)
        bench.apply(bench.event(1, A))
        bench.change(key, number=B, name="Stranger")

        bench.apply(bench.delete(1))

        assert bench.names() == {B: "Stranger"}
        assert bench.reason(1) is Reason.ROW_REASSIGNED

    @pytest.mark.parametrize("number", [A, A15, C], ids=["in force", "derived", "former"])
    def test_row_under_a_number_of_the_record_is_its_row(self, bench: Bench, number: str) -> None:
        """Whatever else a clerk has changed in it."""
        key = bench.row(A)
        bench.apply(bench.event(1, A, "Wang", None, C))
        bench.change(key, number=number, name="Else")

        bench.apply(bench.event(1, A, "New", None, C))

        assert bench.rows("number", "name") == [(A, "New")]

    def test_row_whose_number_alone_was_mistyped_is_its_row(self, bench: Bench) -> None:
        """All other shared fields are as they were last written."""
        key = bench.row(A)
        bench.apply(bench.event(1, A, "Wang", "Lane"))
        bench.change(key, number="mistyped")

        bench.apply(bench.event(1, A, "New", "Lane"))

        assert bench.rows("number", "name") == [(A, "New")]

    def test_row_last_written_under_a_number_that_the_record_has_no_more_is_its_row(self, bench: Bench) -> None:
        """A number that was corrected without being listed as a former one still stands in the row."""
        bench.row(A)
        bench.apply(bench.event(1, A))

        bench.apply(bench.event(1, B, "New"))

        assert bench.rows("number", "name") == [(B, "New")]

    def test_row_that_was_last_written_long_ago_is_its_row(self, bench: Bench) -> None:
        """Two changes of the number missed it, and a clerk has changed the rest; it holds what was last written."""
        key = bench.row(A, note="no")
        bench.apply(bench.event(1, A))
        bench.apply(bench.event(1, B))
        assert bench.reason(1) is Reason.REFUSED_BY_TABLE
        bench.change(key, name="Else", note="")

        bench.apply(bench.event(1, C, "New"))

        assert bench.rows("number", "name") == [(C, "New")]


class TestL2EveryOpenRowIsAccountedFor:
    """Of several open rows with one number none is passed over, and none is guessed at."""

    def test_several_rows_are_ambiguous(self, bench: Bench) -> None:
        """No row is written where nobody knows which is meant."""
        bench.row(A, "First")
        bench.row(A, "Second")

        bench.apply(bench.event(1, A, "New"))

        assert bench.rows("name") == [("First",), ("Second",)]
        assert (bench.reason(1), bench.state(1)) == (Reason.AMBIGUOUS, RecordState.AMBIGUOUS)

    def test_row_that_is_linked_goes_on_being_written_beside_a_second_one(self, bench: Bench) -> None:
        """Once somebody looks around, the second row makes the record ambiguous, and the first is kept up to date."""
        first = bench.row(A, "First")
        bench.apply(bench.event(1, A, "First"))
        bench.row(A, "Second")

        bench.apply(bench.event(1, A, "New"), looks_around=True)

        assert bench.rows("name") == [("New",), ("Second",)]
        assert (bench.state(1), bench.links(1)) == (RecordState.AMBIGUOUS, [first])

    def test_where_a_record_may_have_many_rows_all_are_written(self, bench_of: MakeBench) -> None:
        """Also one that was opened after the others were linked."""
        bench = bench_of(Shape(rows="many"))
        bench.row(A, "First")
        bench.row(A15, "Second")
        bench.apply(bench.event(1, A, "Wang"))
        bench.row(A, "Third")

        bench.apply(bench.event(1, A, "New"), looks_around=True)

        assert bench.rows("number", "name") == [(A, "New")] * 3
        assert bench.is_equal(1)

    def test_row_loaded_anew_under_another_key_is_linked(self, bench: Bench) -> None:
        """The row of before is gone, and one with the same number is there."""
        key = bench.row(A)
        bench.apply(bench.event(1, A))
        bench.change(key, pid=900)

        bench.apply(bench.event(1, A, "New"))

        assert bench.names() == {A: "New"}
        assert [str(json.loads(link)[0]) for link in bench.links(1)] == ["900"]

    def test_row_with_a_column_that_cannot_be_read_has_its_number_still(self, bench: Bench) -> None:
        """What is unreadable is overwritten by what is right."""
        bench.row(A, born="00000000")

        bench.apply(bench.event(1, A, "New"))

        assert bench.names() == {A: "New"}

    def test_file_that_is_opened_beside_a_closed_one_is_linked(self, bench: Bench) -> None:
        """An account closed and opened anew is two rows, and only the open one is the service's."""
        old = bench.row(A, "Old")
        bench.apply(bench.event(1, A, "Old"))
        bench.change(old, state="closed")
        bench.row(A, "Fresh")

        bench.apply(bench.event(1, A, "New"))

        assert bench.rows("name", "state") == [("New", "open"), ("Old", "closed")]


class TestL3ClosedRowIsNeverWritten:
    """A closed row is left as it is, but for what the record's own delete has marked."""

    def test_closed_row_is_not_written(self, bench: Bench) -> None:
        """The record is out of scope while its file is closed."""
        key = bench.row(A, "Old")
        bench.apply(bench.event(1, A, "Old"))
        bench.change(key, state="closed")

        bench.apply(bench.event(1, A, "New"))

        assert bench.names() == {A: "Old"}
        assert bench.state(1) is RecordState.OUT_OF_SCOPE

    @pytest.mark.parametrize("on_delete", ["delete", "mark"])
    def test_closed_row_is_neither_deleted_nor_marked(self, bench_of: MakeBench, on_delete: str) -> None:
        """Whatever becomes of the record."""
        bench = bench_of(Shape(on_delete="delete" if on_delete == "delete" else "mark"))
        key = bench.row(A, "Old")
        bench.apply(bench.event(1, A, "Old"))
        bench.change(key, state="closed")
        writes = bench.writes

        bench.apply(bench.delete(1))

        assert bench.names() == {A: "Old"}
        assert bench.writes == writes
        assert bench.state(1) is RecordState.DELETED

    @pytest.mark.parametrize(("unmarks", "after"), [(True, ("New", "open")), (False, ("Old", "closed"))])
    def test_record_that_comes_back_opens_the_row_that_its_delete_had_closed(
        self, bench_of: MakeBench, after: tuple[str, str], *, unmarks: bool
    ) -> None:
        """Where the binding says how; else the row stays closed, and as it is."""
        bench = bench_of(Shape(on_delete="mark", unmarks=unmarks))
        bench.row(A, "Old")
        bench.apply(bench.event(1, A, "Old"))
        bench.apply(bench.delete(1))
        assert bench.rows("name", "state") == [("Old", "closed")]

        bench.apply(bench.event(1, A, "New"))

        assert bench.rows("name", "state") == [after]
        assert bench.state(1) is (RecordState.HELD if unmarks else RecordState.OUT_OF_SCOPE)

    def test_row_that_the_department_closed_stays_closed_when_a_record_comes_back(self, bench_of: MakeBench) -> None:
        """Only what the record's own delete had marked is taken back."""
        bench = bench_of(Shape(on_delete="mark", unmarks=True))
        key = bench.row(A, "Old")
        bench.apply(bench.event(1, A, "Old"))
        bench.change(key, state="closed")
        bench.apply(bench.delete(1))

        bench.apply(bench.event(1, A, "New"))

        assert bench.rows("name", "state") == [("Old", "closed")]


class TestL4NothingIsPairedByOrder:
    """A new row is linked by its own key."""

    def test_rows_that_are_inserted_together_are_each_their_records(self, bench_of: MakeBench) -> None:
        """Whatever key the database draws."""
        bench = bench_of(Shape(scope="mirror", draws_keys=True))

        bench.apply(*(bench.event(serial, f"N{serial}", f"Name {serial}") for serial in range(20)))

        by_key = {str(row["pid"]): row["number"] for row in bench.held()}
        linked = [[by_key[str(json.loads(key)[0])] for key in bench.links(serial)] for serial in range(20)]
        assert linked == [[f"N{n}"] for n in range(20)]


class TestL5NoEffectIsNotAbsence:
    """A write that changed nothing although the row is there parks its record; the link stays."""

    def test_update_that_is_swallowed_parks(self, bench_of: MakeBench) -> None:
        """The person gets no second row."""
        bench = bench_of(Shape(scope="mirror"))
        bench.apply(bench.event(1, A, "Old"))
        (key,) = bench.links(1)
        bench.change(key, note="frozen")

        bench.apply(bench.event(1, B, "New"))

        assert bench.names() == {A: "Old"}
        assert (bench.reason(1), bench.links(1)) == (Reason.NO_EFFECT, [key])
        bench.change(key, note="")
        bench.apply(bench.event(1, B, "New"))
        assert bench.names() == {B: "New"}

    def test_delete_that_is_swallowed_parks(self, bench: Bench) -> None:
        """The row is there still."""
        key = bench.row(A, note="frozen")
        bench.apply(bench.event(1, A))

        bench.apply(bench.delete(1))

        assert bench.names() == {A: "Wang"}
        assert (bench.reason(1), bench.links(1)) == (Reason.NO_EFFECT, [key])

    def test_other_records_of_the_batch_are_applied(self, bench: Bench) -> None:
        """What one row's trigger does is no other record's trouble."""
        for number, note in ((A, "frozen"), (B, "no"), (C, "")):
            bench.row(number, "Old", note=note)

        bench.apply(bench.event(1, A, "New"), bench.event(2, B, "New"), bench.event(3, C, "New"))

        assert bench.names() == {A: "Old", B: "Old", C: "New"}
        assert [bench.reason(serial) for serial in (1, 2, 3)] == [Reason.NO_EFFECT, Reason.REFUSED_BY_TABLE, None]


class TestL6MatchIsWeighed:
    """A row is linked only where no other record has as good a claim."""

    def test_row_goes_to_the_one_whose_other_fields_it_holds(self, bench: Bench) -> None:
        """Two people once shared a number; the file is the one's who has another number by now."""
        bench.row(B, "Owner")

        bench.apply(bench.event(1, A, "Owner", None, B), bench.event(2, B, "Stranger"))

        assert bench.rows("number", "name") == [(A, "Owner")]
        assert bench.state(2) is RecordState.OUT_OF_SCOPE

    def test_whichever_comes_first(self, bench: Bench) -> None:
        """Until the epoch's snapshot is read to its end, a row that differs is nobody's."""
        bench.row(B, "Owner")
        second = bench.event(2, B, "Stranger")
        bench.apply(second, is_complete=False)
        assert bench.reason(2) is Reason.AWAITING_SNAPSHOT

        bench.apply(bench.event(1, A, "Owner", None, B), is_complete=False)
        bench.apply(second)

        assert bench.names() == {B: "Owner"}

    def test_row_that_fits_neither_is_ambiguous_for_both(self, bench: Bench) -> None:
        """A person decides."""
        bench.row(B, "Third")

        bench.apply(bench.event(1, A, "Owner", None, B), bench.event(2, B, "Stranger"))

        assert bench.names() == {B: "Third"}
        assert [bench.reason(1), bench.reason(2)] == [Reason.AMBIGUOUS, Reason.AMBIGUOUS]

    @pytest.mark.parametrize("one_by_one", [True, False])
    def test_who_has_a_row_under_the_number_in_force_claims_no_other(self, bench: Bench, *, one_by_one: bool) -> None:
        """A former number given to somebody else does not stand in the way of its present holder."""
        bench.row(A, "Old Owner")
        bench.row(B, "Old Name")
        events = [bench.event(1, A, "Owner", None, B), bench.event(2, B, "Stranger")]

        for event in events if one_by_one else [events]:
            bench.apply(*([event] if isinstance(event, Offered) else event))
        bench.apply(bench.event(1, A, "Owner", None, B), looks_around=True)
        if one_by_one:
            assert bench.due() == {2}
            bench.apply(bench.event(2, B, "Stranger"))

        assert bench.names() == {A: "Owner", B: "Stranger"}

    def test_row_that_looks_like_its_former_holders_is_its_present_holders(self, bench: Bench) -> None:
        """For the former holder has another."""
        bench.row(A, "Owner")
        bench.row(B, "Owner")

        bench.apply(bench.event(1, A, "Owner", None, B), bench.event(2, B, "Stranger"))

        assert bench.names() == {A: "Owner", B: "Stranger"}
        assert [bench.state(1), bench.state(2)] == [RecordState.HELD, RecordState.HELD]

    def test_link_under_the_number_in_force_is_not_undone_by_anothers_former_number(self, bench: Bench) -> None:
        """The present holder keeps the row, also against one who looks like it."""
        key = bench.row(B, "Stranger")
        bench.apply(bench.event(2, B, "Stranger"))

        bench.apply(bench.event(1, A, "Stranger", None, B), looks_around=True)

        assert (bench.links(2), bench.links(1)) == ([key], [])
        assert bench.state(1) is RecordState.OUT_OF_SCOPE

    def test_row_that_a_clerk_used_for_the_new_holder_of_its_number_is_that_ones(self, bench: Bench) -> None:
        """It has the new holder's number and fields; that the old one once had the number is no claim."""
        key = bench.row(A, "Wang")
        bench.apply(bench.event(1, A, "Wang"))
        bench.apply(bench.event(2, A, "Li"))
        bench.change(key, name="Li")

        bench.apply(bench.event(1, B, "Wang", None, A))

        assert bench.names() == {A: "Li"}
        assert bench.reason(1) is Reason.ROW_REASSIGNED

    @pytest.mark.parametrize("name", ["Li", "Li, corrected"])
    def test_row_that_a_clerk_used_for_who_had_the_number_before_is_that_ones(self, bench: Bench, name: str) -> None:
        """The record has the number by now, but every other field is of the one who had it when the row was used."""
        key = bench.row(A, "Wang")
        bench.apply(bench.event(1, A, "Wang"), bench.event(2, B, "Li"))
        bench.change(key, number=B, name=name)

        bench.apply(bench.event(2, C, "Li", None, B), bench.event(1, B, "Wang", None, A))

        assert bench.reason(1) is Reason.ROW_REASSIGNED
        assert "Wang" not in bench.names().values()

    def test_row_that_a_clerk_corrected_stays_its_records(self, bench: Bench) -> None:
        """Other fields than were last written there are nobody's claim as long as they are not somebody else's."""
        key = bench.row(A, "Wang")
        bench.apply(bench.event(1, A, "Wang"))
        bench.apply(bench.event(2, A, "Li"))
        bench.change(key, name="Weng")

        bench.apply(bench.event(1, B, "Wang", None, A))

        assert bench.names() == {B: "Wang"}

    @pytest.mark.parametrize("one_by_one", [False, True])
    def test_files_of_two_who_exchanged_their_numbers_stay_each_ones(self, bench: Bench, *, one_by_one: bool) -> None:
        """Each row has the number in force of one and the other fields of the other, who had the number before."""
        bench.row(A, "Wang")
        bench.row(B, "Li")
        events = [bench.event(1, B, "Wang", None, A), bench.event(2, A, "Li", None, B)]

        for batch in [[event] for event in events] if one_by_one else [events]:
            bench.apply(*batch)
        if one_by_one:
            bench.apply(bench.event(1, B, "Wang", None, A), looks_around=True)

        assert bench.names() == {A: "Li", B: "Wang"}
        rows = {row["pid"]: (row["number"], row["name"]) for row in bench.held()}
        assert rows == {1: (B, "Wang"), 2: (A, "Li")}

    def test_number_in_force_of_two_is_nobodys(self, bench: Bench) -> None:
        """An authority that gave one number to two people has both wait for a person."""
        bench.row(A, "Old")

        bench.apply(bench.event(1, A, "One"), bench.event(2, A, "Two"))

        assert bench.names() == {A: "Old"}
        assert [bench.reason(1), bench.reason(2)] == [Reason.AMBIGUOUS, Reason.AMBIGUOUS]


class TestL7WhatParkedStaysWhatItWas:
    """A record that is tried again is to become what it was to become."""

    def test_delete_that_parked_is_a_delete_when_it_is_tried_again(self, bench: Bench) -> None:
        """L7: what a parked record was to become stays what it was."""
        key = bench.row(A, note="no")
        bench.apply(bench.event(1, A))
        end = bench.delete(1)
        bench.apply(end)
        assert bench.reason(1) is Reason.REFUSED_BY_TABLE
        bench.change(key, note="")

        bench.apply(end)

        assert bench.rows("number") == []
        assert (bench.state(1), bench.reason(1)) == (RecordState.DELETED, None)


class TestL8EqualRowIsNotWritten:
    """A row that holds the event already is not touched; the ledger alone moves."""

    @pytest.mark.parametrize("scope", ["mirror", "existing"])
    def test_resync_of_equal_data_writes_nothing(self, bench_of: MakeBench, scope: str) -> None:
        """No trigger of the department fires."""
        bench = bench_of(Shape(scope="mirror" if scope == "mirror" else "existing"))
        if scope == "existing":
            bench.row(A)
        bench.apply(bench.event(1, A, "Wang", "Lane"))
        writes = bench.writes

        bench.apply(bench.event(1, A, "Wang", "Lane"))

        assert bench.writes == writes
        assert bench.is_equal(1)

    def test_row_that_was_equal_before_it_was_linked_is_not_written(self, bench: Bench) -> None:
        """It is linked, and that is all."""
        key = bench.row(A, "Wang", "Lane")

        bench.apply(bench.event(1, A, "Wang", "Lane"))

        assert (bench.writes, bench.links(1)) == (0, [key])
        assert bench.is_equal(1)


class TestL9WhatReadsBackOtherwiseIsNotApplied:
    """A record whose row holds something else after the write rolls back and parks."""

    def test_value_that_a_trigger_cuts_parks(self, bench: Bench) -> None:
        """Nothing of the record is left in the row."""
        bench.row(A, "Old", note="cut")

        bench.apply(bench.event(1, A, "Wang Fang", "Lane"))

        assert bench.rows("name", "street") == [("Old", None)]
        assert bench.reason(1) is Reason.CANNOT_HOLD

    def test_column_that_may_keep_what_it_has_keeps_it_alone(self, bench: Bench) -> None:
        """The others are written, and the record stays listed."""
        bench.row(A, "Old", "Lane")

        bench.apply(bench.event(1, A, "New", "A Street Far Too Long"))

        assert bench.rows("name", "street") == [("New", "Lane")]
        assert (bench.reason(1), bench.is_equal(1)) == (Reason.CANNOT_HOLD, False)

    def test_value_that_a_column_cannot_hold_parks(self, bench: Bench) -> None:
        """Its codec says so before anything is written."""
        bench.row(A, "Old")

        bench.apply(bench.event(1, A, "A Name Far Too Long"))

        assert (bench.names(), bench.reason(1)) == ({A: "Old"}, Reason.CANNOT_HOLD)


class TestL10ProofSaysWhatItCovers:
    """Which rows no proof speaks of is told with every proof, and at once where it changes."""

    def test_rows_that_no_proof_speaks_of_are_counted(self, bench: Bench) -> None:
        """Closed rows are files no more; a row that cannot be read is told of, whoever has it."""
        bench.row(A, "First")
        bench.row(B, "Nobody's")
        bench.row(C, "Nobody's", born="19709999")
        bench.row(C, "Closed", born="19709999", state="closed")
        bench.apply(bench.event(1, A, "First"))

        bench.sweep()

        with bench.store.transaction() as transaction:
            assert transaction.coverage() == Coverage(unlinked_rows=2, unreadable_rows=1)

    def test_change_of_what_is_covered_is_attested_at_once(self, bench: Bench) -> None:
        """Once, and not at every sweep."""
        key = bench.row(A)
        bench.apply(bench.event(1, A))
        bench.be_attestable()

        first = sweep_rows(bench.subscribed()).attestation
        bench.change(key, born="19709999")
        changed, again = (sweep_rows(bench.subscribed()).attestation for _ in range(2))

        assert (first, again) == (None, None)
        assert changed is not None
        assert (changed.unlinked_rows, changed.unreadable_rows) == (0, 1)


class TestMoves:
    """What several records of one batch do to each other."""

    def test_exchange_of_unique_values_is_one_move(self, bench_of: MakeBench) -> None:
        """Two numbers that were exchanged by mistake are put right."""
        bench = bench_of(Shape(scope="mirror", is_unique=True))
        bench.apply(bench.event(1, A, "Anna"), bench.event(2, B, "Bert"))

        bench.apply(bench.event(1, B, "Anna"), bench.event(2, A, "Bert"))

        assert bench.names() == {B: "Anna", A: "Bert"}

    def test_unique_value_of_a_strangers_row_parks_its_record_alone(self, bench_of: MakeBench) -> None:
        """The others of the batch are applied."""
        bench = bench_of(Shape(scope="mirror", is_unique=True))
        bench.apply(bench.event(1, A, "Anna"), bench.event(2, B, "Bert"))
        bench.row(C, "Walk-in", state="open")

        bench.apply(bench.event(1, C, "Anna"), bench.event(2, B, "New"))

        assert bench.names() == {A: "Anna", B: "New", C: "Walk-in"}
        assert (bench.reason(1), bench.reason(2)) == (Reason.COLLISION, None)

    def test_row_that_another_transaction_holds_parks_its_record_alone(self, bench: Bench) -> None:
        """It is tried again soon."""
        if bench.writers_never_meet:
            return
        key = bench.row(A, "Old")
        bench.row(B, "Old")

        with bench.hold(key):
            bench.apply(bench.event(1, A, "New"), bench.event(2, B, "New"))

        assert bench.names() == {A: "Old", B: "New"}
        assert bench.reason(1) is Reason.LOCKED

    def test_sum_is_of_what_the_rows_hold(self, bench: Bench) -> None:
        """After anything, the stream's sum is that of its entries."""
        bench.row(A, "Old", note="cut")
        bench.row(B, "Old")
        bench.apply(bench.event(1, A, "Wang Fang"), bench.event(2, B, "New"), bench.event(3, C, "Nobody"))
        bench.apply(bench.delete(2), bench.event(1, A, "Old"))

        entries = bench.entries().values()
        assert bench.stream().sum == sum(from_hex(each.digest) for each in entries if each.digest) % MODULUS
        assert bench.stream().count == sum(each.digest is not None for each in entries) == 2


WITH_X = next(id_number(serial) for serial in range(1, 60) if id_number(serial).endswith("X"))
WIDE = WITH_X.translate({code: code + 0xFEE0 for code in range(0x30, 0x5B)})


class TestSpelling:
    """A number bound as an identifier is the same number however a department has spelt it."""

    @pytest.mark.parametrize("spelling", [WITH_X, WITH_X.lower(), WIDE], ids=["plain", "small x", "full width"])
    def test_row_is_found_and_keeps_its_spelling(self, bench_of: MakeBench, spelling: str) -> None:
        """What is written are the other columns."""
        bench = bench_of(Shape(identifies=True))
        bench.row(spelling, "Old")

        bench.apply(bench.event(1, WITH_X, "New"))

        assert bench.names() == {spelling: "New"}
        assert bench.is_equal(1)

    def test_number_itself_is_written_where_it_changes(self, bench_of: MakeBench) -> None:
        """In its canonical form."""
        bench = bench_of(Shape(identifies=True))
        bench.row(WITH_X.lower(), "Old")
        bench.apply(bench.event(1, WITH_X, "Old"))

        bench.apply(bench.event(1, A, "Old", None, WITH_X))

        assert bench.names() == {A: "Old"}

    def test_spelling_that_nobody_thinks_of_is_found_by_the_sweep_at_the_latest(self, bench_of: MakeBench) -> None:
        """It tells of the row once, and the record's next event, which is asked for, is written there."""
        bench = bench_of(Shape(identifies=True))
        bench.row(f"  {WITH_X.lower()} ", "Old")
        bench.apply(bench.event(1, WITH_X, "New"))

        # In memory every row is looked at anyway.
        if bench.state(1) is RecordState.OUT_OF_SCOPE:
            assert bench.sweep() == [bench.name(1)]
        assert bench.sweep() == []
        bench.apply(bench.event(1, WITH_X, "New"), looks_around=True)

        assert bench.names() == {f"  {WITH_X.lower()} ": "New"}
        assert bench.is_equal(1)

    def test_number_that_its_authority_spells_otherwise_is_told(self, bench_of: MakeBench) -> None:
        """Nothing is written that would read back as another number."""
        bench = bench_of(Shape(identifies=True))
        bench.row(WITH_X, "Old")

        bench.apply(bench.event(1, WITH_X.lower(), "New"))

        assert (bench.names(), bench.reason(1)) == ({WITH_X: "Old"}, Reason.CANNOT_HOLD)


class TestSweep:
    """L2: every open row with a number of a record's is accounted for within one sweep."""

    def test_second_row_is_told_once_for_each_version(self, bench: Bench) -> None:
        """And not while the record is listed, for then a person knows."""
        bench.row(A, "First")
        bench.apply(bench.event(1, A, "First"))
        bench.row(A, "Second")
        assert bench.sweep() == [bench.name(1)]

        bench.apply(bench.event(1, A, "First"), looks_around=True)

        assert bench.state(1) is RecordState.AMBIGUOUS
        assert bench.sweep() == []

    def test_closed_row_and_row_of_nobody_are_told_of_to_nobody(self, bench: Bench) -> None:
        """The first is out of scope, the second is counted."""
        bench.row(A, "First", state="closed")
        bench.row(B, "Second")
        bench.apply(bench.event(1, A, "First"))

        assert bench.sweep() == []
        with bench.store.transaction() as transaction:
            assert transaction.coverage() == Coverage(unlinked_rows=1)
