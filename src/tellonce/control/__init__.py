"""The messages by which services talk about streams: marks, attestations, inquiries, answers, orders, findings.

They carry pseudonyms, counters and digests, never a field's value.
"""
