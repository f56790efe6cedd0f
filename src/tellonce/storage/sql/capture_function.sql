-- Notes in the outbox which records a change touched, in the department's own transaction; what they hold is read by
-- the relay. It never raises: a department's own work must not fail because of us.
DECLARE
    the_old_key text;
    the_new_key text;
    is_unknown boolean := false;
BEGIN
    -- The block only reads, so it takes no transaction id of its own.
    BEGIN
        IF TG_OP <> 'INSERT' THEN
            the_old_key := @{old_key};
        END IF;
        IF TG_OP <> 'DELETE' THEN
            the_new_key := @{new_key};
        END IF;
    EXCEPTION WHEN OTHERS THEN
        is_unknown := true;
    END;
    IF to_regclass(@{outbox_name}) IS NULL THEN
        RAISE WARNING 'tellonce could not capture a change of %.%: its outbox is gone; its sweep will find the change',
            TG_TABLE_SCHEMA, TG_TABLE_NAME;
    ELSIF is_unknown THEN
        -- Nobody knows which record it was: the relay stops this record type and says so.
        INSERT INTO @{outbox} (record_key, committed_at_ms) VALUES (NULL, @{now_ms});
    ELSE
        IF TG_OP <> 'INSERT' THEN
            INSERT INTO @{outbox} (record_key, committed_at_ms) VALUES (the_old_key, @{now_ms});
        END IF;
        IF TG_OP <> 'DELETE' AND the_new_key IS DISTINCT FROM the_old_key THEN
            INSERT INTO @{outbox} (record_key, committed_at_ms) VALUES (the_new_key, @{now_ms});
        END IF;
    END IF;
    RETURN NULL;
END
