"""What it costs an applier to be scraped every second: the same changes, with a scraper and without.

Two of three towns are left alone, so that the ratio between these says how much of the other is chance.
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

RECORDS, ROUNDS = 6_000, 6
SCRAPE_SECONDS = 1.0
ALONE = 50


def measure(folder: Path, place: Place, records: int, rounds: int) -> list[Figure]:
    """Gives the ratio of two towns' appliers, one of them scraped, and what one scrape takes by itself."""
    with ExitStack() as stack:
        towns = {name: Town(folder / name, place.site, stack, records) for name in ("scraped", "quiet", "quiet again")}
        scraped = towns["scraped"]
        # Every service serves, scraped or not; a server that nobody asks costs a look every half second.
        servers = {name: stack.enter_context(_server(town)) for name, town in towns.items()}
        url = f"http://{servers['scraped'].address}/metrics"
        scrapes: list[float] = []

        def publish(number: int) -> None:
            for town in towns.values():
                town.change(number)
                town.publish()
            for town in towns.values():
                town.finish_publishing()

        def apply_scraped() -> None:
            with _scraping(url, scrapes):
                scraped.apply()

        arms = {name: Arm(run=town.apply, outcome=town.applied) for name, town in towns.items()}
        arms["scraped"] = Arm(run=apply_scraped, outcome=scraped.applied)
        step = Step(name="applier", prepare=publish, arms=arms)
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


def _server(town: Town) -> HealthServer:
    return HealthServer(town.monitor.meters.registry, town.monitor.health, host="127.0.0.1", port=0)


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
