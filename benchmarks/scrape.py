"""What it costs an applier to be scraped every second: the same changes, with a scraper and without.

All arms are runs of one applier, since two towns may differ by more than a scrape can cost.
It is left alone in two of three, so that the ratio between these says how much of the other is chance.
"""

import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

from harness import Arm, Figure, Step, play, ratios
from tellonce.model.errors import InvariantError
from tellonce.observability.serving import HealthServer
from town import Place, Town

__all__ = ["RECORDS", "ROUNDS", "measure"]

RECORDS, ROUNDS = 6_000, 12
SCRAPE_SECONDS = 1.0
ALONE = 50


def measure(folder: Path, place: Place, records: int, rounds: int) -> list[Figure]:
    """Gives the ratio of an applier scraped to the same one left alone, and what one scrape takes by itself."""
    with ExitStack() as stack:
        town = Town(folder / "town", place.site, stack, records)
        server = stack.enter_context(
            HealthServer(town.monitor.meters.registry, town.monitor.health, host="127.0.0.1", port=0)
        )
        url = f"http://{server.address}/metrics"
        scrapes: list[float] = []

        def publish() -> None:
            town.change()
            town.publish()
            town.finish_publishing()

        def apply_scraped() -> None:
            with _scraping(url, scrapes):
                town.apply()

        runs = {"scraped": apply_scraped, "quiet": town.apply, "quiet again": town.apply}
        arms = {name: Arm(run=run, prepare=publish, outcome=town.applied) for name, run in runs.items()}
        step = Step(name="applier", arms=arms)
        played = play([step], rounds)
        walls = [each["applier", "scraped"].wall_seconds for each in played]
        alone, size = _alone(url)
        print(f"{len(scrapes)} scrapes in {sum(walls):.1f} s; an answer of {size} bytes")
        return [
            *ratios(played, "applier", "scraped", "quiet"),
            *ratios(played, "applier", "quiet again", "quiet"),
            Figure.of("applier: seconds of the scraped arm", walls),
            Figure.of("scrape beside an applier: seconds", scrapes),
            Figure.of("scrape by itself: seconds of the processors, client included", alone),
        ]


@contextmanager
def _scraping(url: str, scrapes: list[float]) -> Generator[None]:
    """Fetches the address once a second, first after half of one, so that as many come as the block has seconds."""
    over = threading.Event()
    failed: list[OSError] = []

    def scrape() -> None:
        wait = SCRAPE_SECONDS / 2
        while not over.wait(wait):
            began = time.perf_counter()
            try:
                _fetch(url)
            except OSError as error:
                failed.append(error)
                return
            scrapes.append(time.perf_counter() - began)
            wait = SCRAPE_SECONDS

    thread = threading.Thread(target=scrape, name="scraper")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failed:
        raise InvariantError("expected each scrape to be answered") from failed[0]


def _fetch(url: str) -> int:
    with urlopen(url, timeout=10) as response:  # noqa: S310 - an address of this very process
        return len(response.read())


def _alone(url: str) -> tuple[list[float], int]:
    taken: list[float] = []
    size = 0
    for _ in range(ALONE):
        began = time.process_time()
        size = _fetch(url)
        taken.append(time.process_time() - began)
    return taken, size
