-- TRUNCATE fires no row trigger, so no department would learn that the records are gone.
BEGIN
    RAISE EXCEPTION '%.% is captured by tellonce and may not be truncated, since no department would learn of it: DELETE its rows instead, or uninstall the capture first',
        TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state';
END
