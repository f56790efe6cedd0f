    INSERT INTO @{outbox} (record_key, committed_at_ms)
    SELECT @{key}, @{now_ms} WHERE @{condition};
