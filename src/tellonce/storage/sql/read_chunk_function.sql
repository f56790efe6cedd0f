-- The next rows in key order, each with its version as of the same state of the database: one statement.
#variable_conflict use_column
BEGIN
    IF after_key IS NULL THEN
        RETURN QUERY
            SELECT @{key}, coalesce(v.version, 1), CAST(@{image} AS text)
            FROM (SELECT * FROM @{table} AS t ORDER BY @{order} LIMIT how_many) AS t
            LEFT JOIN @{record_version} AS v ON v.record_type = @{record_type} AND v.record_key = @{key}
            ORDER BY @{order};
    ELSE
        RETURN QUERY
            SELECT @{key}, coalesce(v.version, 1), CAST(@{image} AS text)
            FROM (SELECT * FROM @{table} AS t WHERE @{is_after} ORDER BY @{order} LIMIT how_many) AS t
            LEFT JOIN @{record_version} AS v ON v.record_type = @{record_type} AND v.record_key = @{key}
            ORDER BY @{order};
    END IF;
END
