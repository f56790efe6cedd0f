    -- Only statements that cannot conflict: an outer OR IGNORE or OR REPLACE would rule in here too.
    INSERT INTO @{record_version} (record_type, record_key, version)
    SELECT @{record_type}, @{key}, @{version_before}
    WHERE @{condition} AND NOT EXISTS (
        SELECT 1 FROM @{record_version} AS v WHERE v.record_type = @{record_type} AND v.record_key = @{key}
    );
    UPDATE @{record_version} SET version = version + 1
    WHERE record_type = @{record_type} AND record_key = @{key} AND @{condition};
    -- The row as it is now, not NEW: another trigger may have changed it again before this one ran.
    INSERT INTO @{outbox} (record_key, version, committed_at_ms, origin, has_before, has_after@{columns})
    SELECT v.record_key, v.version, @{now_ms}, 'capture', @{has_before}, @{is_there}@{values}
    FROM @{record_version} AS v LEFT JOIN @{table} AS t ON @{is_this}
    WHERE v.record_type = @{record_type} AND v.record_key = @{key} AND @{condition};
