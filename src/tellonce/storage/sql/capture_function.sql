-- Writes what a change left behind into the outbox, in the department's own transaction.
-- It never raises: a department's own work must not fail because of us. A change that could not be captured leaves
-- its version counter as it was, which is how the sweep finds it. A cancelled statement is the department's own wish.
#variable_conflict use_column
DECLARE
    the_old_key text;
    the_new_key text;
    the_old_image jsonb;
    the_image jsonb;
BEGIN
    BEGIN
        IF TG_OP <> 'INSERT' THEN
            the_old_key := @{old_key};
            the_old_image := @{old_image};
            -- The row as it is now, not NEW: where another trigger changed it again, or keys were swapped, this event
            -- may be told after a later one, and the highest version must have the row's last state.
            SELECT @{image} INTO the_image FROM @{table} AS t WHERE @{is_old};
            IF the_image IS DISTINCT FROM the_old_image THEN
                -- A record without a counter was there before capture was, at version 1.
                WITH counter AS (
                    INSERT INTO @{record_version} AS v (record_type, record_key, version)
                    VALUES (@{record_type}, the_old_key, 2)
                    ON CONFLICT (record_type, record_key) DO UPDATE SET version = v.version + 1
                    RETURNING v.version
                )
                INSERT INTO @{outbox} (record_key, version, transaction_id, committed_at_ms, origin, before, after)
                SELECT the_old_key, counter.version, txid_current(), @{now_ms}, 'capture', the_old_image, the_image
                FROM counter;
            END IF;
        END IF;
        IF TG_OP <> 'DELETE' THEN
            the_new_key := @{new_key};
            IF the_new_key IS DISTINCT FROM the_old_key THEN
                SELECT @{image} INTO the_image FROM @{table} AS t WHERE @{is_new};
                IF the_image IS NOT NULL THEN
                    WITH counter AS (
                        INSERT INTO @{record_version} AS v (record_type, record_key, version)
                        VALUES (@{record_type}, the_new_key, 1)
                        ON CONFLICT (record_type, record_key) DO UPDATE SET version = v.version + 1
                        RETURNING v.version
                    )
                    INSERT INTO @{outbox} (record_key, version, transaction_id, committed_at_ms, origin, after)
                    SELECT the_new_key, counter.version, txid_current(), @{now_ms}, 'capture', the_image
                    FROM counter;
                END IF;
            END IF;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        -- Without the error's text, which may quote the row.
        RAISE WARNING 'tellonce could not capture a change of %.% (SQLSTATE %); its sweep will find it',
            TG_TABLE_SCHEMA, TG_TABLE_NAME, SQLSTATE;
    END;
    RETURN NULL;
END
