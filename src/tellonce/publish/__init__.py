"""The authority's side: capture, stage, send, confirm; snapshots and epochs, orders, answers and the sweep."""
