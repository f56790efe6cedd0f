"""How the demonstration counts what the services corrected."""

from collections.abc import Mapping

from sqlalchemy import Engine, delete, select, update

from demo.correcting import ROOT
from tellonce.demo.corrections import Corrections
from tellonce.demo.tables import tables_of
from tellonce.topology import load_topology


def test_rows_with_other_values_in_bound_columns_are_counted(filled: Mapping[str, Engine]) -> None:
    """A row that is gone and one with another value elsewhere are not corrected ones."""
    table = tables_of("provident-fund")["fund_account"]
    corrections = Corrections(ROOT / "consumers", load_topology(ROOT / "topology.yaml"), filled)
    with filled["provident-fund"].begin() as connection:
        first, second, third = connection.execute(select(table.c.zhbh).limit(3)).scalars().all()
        connection.execute(update(table).where(table.c.zhbh == first).values(xm="某"))
        connection.execute(update(table).where(table.c.zhbh == second).values(khrq="20010116"))
        connection.execute(delete(table).where(table.c.zhbh == third))

    changed = {place: count for place, count in corrections.counts().items() if count}

    assert changed == {("provident-fund", "citizen.identity"): 1}
