"""A department's own database: our tables, capture, and the department's bound tables."""
