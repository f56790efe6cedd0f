"""The Avro side of the contract: schemas derived per view, their lock, their compatibility and their codec."""
