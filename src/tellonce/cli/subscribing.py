"""What a department subscribes to, bound to tables that were looked at before anything is applied to them."""

from collections.abc import Mapping

import structlog
from sqlalchemy import Engine

from tellonce.apply.subscription import SubscribedView
from tellonce.cli.contract import Contract, require_department
from tellonce.cli.settings import Settings
from tellonce.declare import Binding, load_bindings
from tellonce.declare.check import Finding, check_binding, refuse
from tellonce.keyring import load_view_keys
from tellonce.model.errors import ConfigurationError
from tellonce.storage.stores import judge_table, subscriber_store
from tellonce.storage.subscriber.view import BoundView

__all__ = ["subscriber_of"]

_log = structlog.get_logger()


def subscriber_of(settings: Settings, contract: Contract, department: str, engine: Engine) -> list[SubscribedView]:
    """Gives what a department subscribes to, each view bound to a table that was found in the database.

    Raises:
        ConfigurationError: it subscribes to nothing, or its bindings, keys or tables are wrong.
        RetryableError: the database is away.
    """
    require_department(contract, department)
    names = [subscription.view for subscription in contract.topology.subscribed_by(department)]
    if not names:
        msg = f"{department} subscribes to no view, so it has nothing to apply"
        raise ConfigurationError(msg, department=department)
    bindings: Mapping[str, Binding] = {
        binding.view: binding for binding in load_bindings(settings.consumers, department, subscribed=names)
    }
    bounds = [
        BoundView(
            schema=contract.catalogue.view_schema(name),
            keys=load_view_keys(settings.keys, name),
            binding=bindings[name],
        )
        for name in names
    ]
    refuse(
        finding
        for bound in bounds
        for finding in check_binding(bound.binding, bound.schema, contract.topology.view(bound.name))
    )
    # All at once: whoever mends a table mends it once.
    judged = [(bound, judge_table(engine, bound)) for bound in bounds]
    refuse(Finding(bound.binding.place, sentence) for bound, judgement in judged for sentence in judgement.refused)
    for bound, judgement in judged:
        for sentence in judgement.told:
            _log.warning("table_told", department=department, view=bound.name, what=sentence)
    return [
        SubscribedView(
            department=department,
            view=contract.topology.view(bound.name),
            bound=bound,
            store=subscriber_store(engine, bound, contract.topology.view(bound.name).partitions),
        )
        for bound in bounds
    ]
