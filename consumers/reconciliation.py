"""How patient and how busy the city's reconciler is.

The demonstration ends within a minute, so it asks again and orders again much sooner than a city of millions would.
What is repaired, and how much of it at a time, is each subscription's own to say, in topology.yaml.
"""

from tellonce.reconcile.policy import ReconciliationPolicy

policy = ReconciliationPolicy(
    answer_timeout_seconds=5,
    undecided_pause_seconds=0.5,
    drill_pause_seconds=1,
    drill_pause_longest_seconds=8,
    repair_round_seconds=5,
    repair_check_seconds=3,
)
