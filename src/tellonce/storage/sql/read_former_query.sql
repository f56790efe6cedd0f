    RETURN QUERY
        SELECT @{field}, @{key}, CAST(@{value} AS text)
        FROM unnest(keys) AS asked (record_key) JOIN @{table} AS t ON @{is_asked}
        ORDER BY @{order}, @{value_order};
