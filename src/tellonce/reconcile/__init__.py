"""Compares what departments state with what the authority states, names each record that differs, and has it repaired.

It reads marks, attestations and answers only, and holds no values, no keys and no database.
"""
