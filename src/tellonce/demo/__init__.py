"""The demonstration city: generated people, departments' tables, a live load, planted edits, an independent check."""
