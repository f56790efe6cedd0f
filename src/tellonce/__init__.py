"""Departments tell each other of record changes once, and can prove it."""
