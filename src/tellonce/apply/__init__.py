"""The subscriber's side: apply events to the department's own table, park, attest, answer, sweep."""
