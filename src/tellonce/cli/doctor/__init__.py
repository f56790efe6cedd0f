"""What `tellonce doctor` looks at: checks in order, from Python to the database, each with its remedy."""
