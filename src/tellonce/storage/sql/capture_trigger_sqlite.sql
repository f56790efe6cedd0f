CREATE TRIGGER @{name} AFTER @{event} ON @{table}
BEGIN
@{statements}
END
