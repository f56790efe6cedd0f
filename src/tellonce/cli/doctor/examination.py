"""All checks in their order, run once; no password of a URL is in what is told."""

import re
from collections.abc import Callable
from dataclasses import replace

from tellonce.cli.doctor.checks import Finding, Result, run_checks
from tellonce.cli.doctor.database import DatabaseChecks
from tellonce.cli.doctor.host import Host
from tellonce.cli.doctor.kafka import KafkaChecks
from tellonce.cli.doctor.probes import Budget, Probes
from tellonce.cli.settings import Settings

__all__ = ["examine"]

_IN_ADDRESS = re.compile(r"(://[^:/@\s]*:)\S*@")
_IN_QUERY = re.compile(r"(password=)[^&\s]+")


def examine(load: Callable[[], Settings], department: str | None, probes: Probes, budget: Budget) -> tuple[Result, ...]:
    """Gives the results for a department's host, or of what needs no department; changes nothing.

    `load` gives the settings, or raises ConfigurationError, which is a finding like any other.
    """
    host = Host(load, department)
    checks = [*host.checks(), *KafkaChecks(host, probes, budget).checks()]
    database = DatabaseChecks(host, probes, budget)
    if department is not None:
        checks += database.checks()
    try:
        results = run_checks(checks)
    finally:
        database.close()
    return tuple(Result(name=one.name, finding=_without_passwords(one.finding)) for one in results)


def _without_passwords(finding: Finding) -> Finding:
    """The finding without the password of a URL, should a driver or a library have quoted one."""
    sentence = _IN_QUERY.sub(r"\1***", _IN_ADDRESS.sub(r"\1***@", finding.sentence))
    return replace(finding, sentence=sentence)
