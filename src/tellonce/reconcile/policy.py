"""How patient and how busy the reconciler is: its own settings, declared in `consumers/reconciliation.py`."""

import runpy
from dataclasses import dataclass, fields
from pathlib import Path

from tellonce.control.messages import MAX_PAGE_RECORDS
from tellonce.model.errors import ConfigurationError

__all__ = ["ReconciliationPolicy", "load_policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationPolicy:
    """The reconciler's settings; whether and how many records are repaired is each subscription's own to say.

    Raises:
        ConfigurationError: a number is not above zero, or a page is larger than an answer may be.
    """

    answer_timeout_seconds: float = 15.0
    """After this a question is asked again; longer than an answering side needs for a page."""
    answer_patience_seconds: float = 60.0
    """After this a side that gave no usable answer to a question is left out, so that it does not delay the others."""
    undecided_pause_seconds: float = 2.0
    """How long to wait before records whose positions did not allow a verdict are asked for again."""
    drill_pause_seconds: float = 5.0
    """Shortest time between two drill-downs of one department's stream; doubled while they find nothing new."""
    drill_pause_longest_seconds: float = 300.0
    """The doubling ends here."""
    drill_patience_seconds: float = 900.0
    """After this a drill-down is given up with what it has found; records that keep changing may stay undecided."""
    proof_age_seconds: float = 900.0
    """After so long without a new statement of one side nothing is proved any more; each states every five minutes."""
    drills_at_once: int = 8
    """Most streams that are drilled down at the same time."""
    page_records: int = MAX_PAGE_RECORDS
    """Most records in one page of an answer, up to 5,000."""
    undecided_kept: int = 50_000
    """Most undecided records of one department in one drill-down; above it the department is plainly not there yet."""
    divergences_kept: int = 10_000
    """Most divergences of one department that are known at a time; what differs beyond is found when these are over."""
    repair_round_seconds: float = 60.0
    """Length of a round of orders, in which a subscription's `repair_cap` is the most that is ordered."""
    repair_check_seconds: float = 30.0
    """How long after an order a drill-down looks whether it helped, where no sums have shown it."""
    repair_patience_seconds: float = 3600.0
    """After this a repair that the authority has not published counts as not given."""
    repairs_in_vain: int = 3
    """After so many repairs of one version a record that differs in another way each time is explained, too."""
    tombstone_pause_seconds: float = 60.0
    """Shortest time between two tombstone orders for one stream."""
    marks_kept: int = 10_000
    """How many of a stream's newest marks are remembered, which bounds how far behind a department can be compared."""
    attestations_kept: int = 1_000
    """How many of a department's newest attestations of a stream are remembered until their marks arrive."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not value > 0:
                msg = f"expected a reconciliation policy whose {each.name} is above 0, found {value}"
                raise ConfigurationError(msg)
        if self.page_records > MAX_PAGE_RECORDS:
            msg = f"expected page_records up to {MAX_PAGE_RECORDS}, the most an answer holds, found {self.page_records}"
            raise ConfigurationError(msg)


def load_policy(consumers_dir: Path) -> ReconciliationPolicy:
    """Gives the policy that the folder's `reconciliation.py` declares as `policy`; the defaults without such a file.

    Raises:
        ConfigurationError: the file is not valid Python, or declares no `policy`.
    """
    path = consumers_dir / "reconciliation.py"
    if not path.is_file():
        return ReconciliationPolicy()
    try:
        declared = runpy.run_path(str(path)).get("policy")
    except ConfigurationError as error:
        msg = f"{path}: {error}"
        raise ConfigurationError(msg) from error
    except SyntaxError as error:
        msg = f"{path}:{error.lineno}:{error.offset}: not valid Python: {error.msg}"
        raise ConfigurationError(msg) from error
    except Exception as error:  # the file is a person's, and whatever it raises is theirs to see in one line
        msg = f"{path}: {type(error).__name__}: {error}"
        raise ConfigurationError(msg) from error
    if not isinstance(declared, ReconciliationPolicy):
        msg = f"{path}: expected `policy = ReconciliationPolicy(…)` at the top level of the file, found none"
        raise ConfigurationError(msg)
    return declared
