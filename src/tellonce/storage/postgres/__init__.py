"""PostgreSQL: what a subscriber's store does there in its own way."""
