"""Values and rules of the protocol; standard library only."""
