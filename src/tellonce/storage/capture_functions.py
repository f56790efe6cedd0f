"""The functions that capture installs in PostgreSQL: what the triggers call."""

from collections.abc import Mapping, Sequence

from tellonce.declare import Source
from tellonce.storage.capture_plan import MOST_HISTORIES, filled, literal
from tellonce.storage.database import OWN_SCHEMA
from tellonce.storage.postgres_catalog import CatalogTable, quoted
from tellonce.storage.record_keys import key_text_sql, text_of

__all__ = ["EARLIER_FUNCTION_KINDS", "FUNCTION_KINDS", "CaptureFunction", "capture_functions"]

FUNCTION_KINDS = ("capture", "truncate", *(f"watch{number}" for number in range(MOST_HISTORIES)))
EARLIER_FUNCTION_KINDS = ("read_chunk", "read_former", "read_records", "refuse_truncate")
"""What an earlier release installed and nothing calls any more."""

_NOW_MS = "CAST(date_part('epoch', clock_timestamp()) * 1000 AS bigint)"
# What runs with our rights calls nothing that a caller put into his own path.
_SETTINGS = ("search_path=pg_catalog, pg_temp",)


class CaptureFunction:
    """One trigger's function as it should be: its body, pinned settings, and whose rights it runs with."""

    signature = "() RETURNS trigger"

    def __init__(self, body: str, settings: Sequence[str], *, is_definer: bool = False) -> None:
        """Takes the settings as the catalog shows them."""
        self.body = f"\n{body}\n"
        self.settings = tuple(settings)
        self.is_definer = is_definer

    def sql(self, name: str) -> str:
        """Gives the statements that make it."""
        head = [
            f"CREATE OR REPLACE FUNCTION {name}{self.signature}",
            "LANGUAGE plpgsql VOLATILE",
            *(["SECURITY DEFINER"] if self.is_definer else []),
            *(_setting(setting) for setting in self.settings),
        ]
        # Whoever may execute the trigger's function could hang it on a table of his own and forge changes.
        revoke = f"REVOKE ALL ON FUNCTION {name}() FROM PUBLIC"
        return "\n".join([*head, f"AS $tellonce${self.body}$tellonce$;", revoke])


def _setting(shown: str) -> str:
    name, _, value = shown.partition("=")
    # A list must stay a list: in quotes it would be one schema's name.
    return f"SET {name} = {value if ',' in value else literal(value)}"


def capture_functions(
    source: Source, table: CatalogTable, histories: Mapping[int, tuple[CatalogTable, Sequence[str]]]
) -> dict[str, CaptureFunction]:
    """Gives the functions of a source by kind; their names are `<kind>_<record type>`.

    `histories` are the tables that are watched besides, by their place, with the columns that hold the record key.
    """
    watched = {f"watch{place}": _noting(source, history, key) for place, (history, key) in histories.items()}
    return {
        "capture": _noting(source, table, source.key),
        "truncate": _definer("truncate_function.sql", source),
        **watched,
    }


def _noting(source: Source, table: CatalogTable, key: Sequence[str]) -> CaptureFunction:
    columns = [table.columns[name] for name in key]
    return _definer(
        "capture_function.sql",
        source,
        old_key=key_text_sql([text_of("OLD", column) for column in columns]),
        new_key=key_text_sql([text_of("NEW", column) for column in columns]),
    )


def _definer(template: str, source: Source, **places: str) -> CaptureFunction:
    outbox = f"{OWN_SCHEMA}.{quoted(f'outbox_{source.record_type}')}"
    body = filled(template, outbox=outbox, outbox_name=literal(outbox), now_ms=_NOW_MS, **places)
    return CaptureFunction(body, _SETTINGS, is_definer=True)
