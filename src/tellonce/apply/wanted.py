"""From an event to what it wants of the department's table, in the table's own terms."""

from tellonce.apply.deciding import Terms, Wanted
from tellonce.declare.binding import Mirror
from tellonce.declare.codec import CannotHold, Raw
from tellonce.model.change import ChangeEvent, Operation, Value
from tellonce.model.divergence import Reason
from tellonce.storage.subscriber.decisions import Why
from tellonce.storage.subscriber.facts import Rank
from tellonce.storage.subscriber.view import BoundView

__all__ = ["terms_of", "wanted_of"]


def terms_of(view: BoundView) -> Terms:
    """Gives how a view's records are held."""
    binding = view.binding
    return Terms(
        is_mirror=isinstance(binding.scope, Mirror),
        rows=binding.rows,
        on_delete=binding.on_delete,
        others_of=view.others_hash,
        mark=binding.mark,
        unmark=binding.unmark,
        spelt={column.field: column.column for column in view.columns if column.codec.keeps_spelling},
    )


def wanted_of(view: BoundView, event: ChangeEvent | Why) -> Wanted:
    """Gives what an event wants; of one that could not be read, why nothing of it can be written."""
    if isinstance(event, Why):
        return Wanted(is_delete=False, fields={}, values={}, numbers={}, number="", others="", refused=event)
    after = event.after
    if event.op is Operation.DELETE or after is None:
        return Wanted(is_delete=True, fields={}, values={}, numbers={}, number="", others="")
    fields: dict[str, Value] = {}
    values: dict[str, Raw] = {}
    why: Why | None = None
    refused: Why | None = None
    for column in view.columns:
        try:
            values[column.column] = column.encode(after[column.field])
            fields[column.field] = after[column.field]
        except CannotHold as error:
            why = Why(reason=Reason.CANNOT_HOLD, detail=str(error))
            refused = refused if column.else_keep else why
    first, numbers = view.identifiers[0], view.numbers_of(after)
    return Wanted(
        is_delete=False,
        fields=fields,
        values=values,
        numbers=numbers,
        number=next(
            (each for each, one in numbers.items() if (one.identifier, one.rank) == (first, Rank.IN_FORCE)), ""
        ),
        others=view.others_hash(after),
        why=why,
        refused=refused,
    )
