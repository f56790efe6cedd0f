-- The former values of an identifier, in order, one query per history table.
#variable_conflict use_column
BEGIN
@{queries}
END
