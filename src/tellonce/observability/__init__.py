"""Logs, metrics and health of the services."""
