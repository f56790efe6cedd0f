"""Stores over SQL: what PostgreSQL and SQLite have in common."""
