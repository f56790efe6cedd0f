"""How a service runs in its process: what is set there for all of its life."""

import subprocess
import sys

SERVICE = """
import gc
from tellonce.cli.services import run_service
from tellonce.cli.settings import Settings

class Service:
    seen = ()
    def turn(self):
        type(self).seen = gc.get_freeze_count(), gc.get_threshold()[0], gc.isenabled()
        return False
    def pause(self):
        pass
    def is_done(self):
        return True

run_service(Settings(), "relay", lambda _stack: (Service(), None), once=True)
frozen, threshold, is_enabled = Service.seen
print(frozen > 1_000, threshold, is_enabled)
"""


def test_collector_is_spared_while_a_service_runs() -> None:
    """What was made before a service's first turn is frozen, and the collector goes on for what comes after."""
    done = subprocess.run([sys.executable, "-c", SERVICE], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["True", "100000", "True"]
