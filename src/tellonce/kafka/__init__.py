"""Kafka: settings, clients with every guarantee set, control topics, topics and rights (plan and apply)."""
