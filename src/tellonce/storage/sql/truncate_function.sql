-- TRUNCATE fires no row trigger: every record is looked at again. Like the row triggers it never raises.
BEGIN
    IF to_regclass(@{outbox_name}) IS NOT NULL THEN
        INSERT INTO @{outbox} (record_key, committed_at_ms, origin) VALUES (NULL, @{now_ms}, 'sweep');
    END IF;
    RETURN NULL;
END
