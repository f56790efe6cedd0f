-- The named records as they are now. With with_lock, only those that could be locked at once: waiting for the
-- department's transactions could end in a deadlock of which theirs is the victim.
#variable_conflict use_column
DECLARE
    the_keys text[] := keys;
    the_gone text[];
BEGIN
    IF with_lock THEN
        -- A row's lock keeps writers, and with them its counter, away.
        the_keys := ARRAY(
            SELECT @{key} FROM unnest(keys) AS asked (record_key) JOIN @{table} AS t ON @{is_asked}
            ORDER BY @{order} FOR SHARE OF t SKIP LOCKED
        );
        -- Where the row is gone, the counter stands for it: whoever brings the record back needs it.
        the_gone := ARRAY(
            SELECT asked.record_key FROM unnest(keys) AS asked (record_key)
            WHERE NOT EXISTS (SELECT 1 FROM @{table} AS t WHERE @{is_asked})
            ORDER BY asked.record_key
        );
        INSERT INTO @{record_version} (record_type, record_key, version)
        SELECT @{record_type}, gone.record_key, 1 FROM unnest(the_gone) AS gone (record_key)
        -- Asked first, since an insert would wait for whoever is raising the counter.
        WHERE NOT EXISTS (
            SELECT 1 FROM @{record_version} AS v WHERE v.record_type = @{record_type} AND v.record_key = gone.record_key
        )
        ON CONFLICT DO NOTHING;
        the_keys := the_keys || ARRAY(
            SELECT v.record_key FROM @{record_version} AS v
            WHERE v.record_type = @{record_type} AND v.record_key = ANY (the_gone)
            ORDER BY v.record_key FOR UPDATE SKIP LOCKED
        );
    END IF;
    -- A statement of its own, so that it sees what was committed before the locks were taken: row and version of one
    -- state. In the locking statement the row would be the newest and its counter an older one.
    RETURN QUERY
        SELECT asked.record_key, coalesce(v.version, 1), CASE WHEN @{is_there} THEN CAST(@{image} AS text) END
        FROM unnest(the_keys) AS asked (record_key)
        LEFT JOIN @{table} AS t ON @{is_asked}
        LEFT JOIN @{record_version} AS v ON v.record_type = @{record_type} AND v.record_key = asked.record_key;
END
