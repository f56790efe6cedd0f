CREATE TRIGGER @{name} AFTER @{event} ON @{table}
WHEN @{condition}
BEGIN
@{statements}
END
