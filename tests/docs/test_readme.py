"""The README is run: every block of bash, in order, against a real Kafka and a real PostgreSQL.

Blocks of yaml, json and python are the files that the sentence before each names; the commands that follow read them.
A text block is what the commands before it print: each of its lines must appear there, spaces aside, and `…` stands
for anything.
The console blocks (`make demo`, `make setup`) cannot be run inside a test, which would make its own environment anew:
they are only checked to name a target of the Makefile.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fenced_blocks import Block, blocks_of
from tellonce.testing.kafka_server import KafkaServer
from tellonce.testing.postgres_server import PostgresServer
from waiting import wait_until

RUN = {"bash", "yaml", "json", "python", "text"}
BLOCK_SECONDS = 120


def squeezed(text: str) -> str:
    """Text with spaces and the frames of tables taken out, since their width follows the terminal."""
    return re.sub(r"[\s│┃]+", " ", text).strip()


def is_shown(line: str, output: str) -> bool:
    """Whether a line of a text block appears in some line of the output."""
    parts = [re.escape(part) for part in squeezed(line).split("…")]
    return any(re.search(".*?".join(parts), squeezed(each)) for each in output.splitlines())


class Reader:
    """Somebody who follows the README: each block in a shell that knows what the blocks before it have set."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._state = folder / "state.sh"
        self._state.write_text(f"cd {folder}\n")
        self._folder = folder
        self._environment = environment
        self.output = ""

    @property
    def work(self) -> Path:
        """Where the last block left its reader."""
        for line in reversed(self._state.read_text().splitlines()):
            if line.startswith("cd "):
                return Path(line.removeprefix("cd "))
        raise AssertionError

    def follow(self, block: Block) -> None:
        """Do what one block says."""
        if block.file is not None:
            path = self.work / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "bash":
            self._run(block)
        elif block.language == "text":
            hidden = [line for line in block.text.splitlines() if not is_shown(line, self.output)]
            assert not hidden, f"README.md:{block.line}: {hidden} not in:\n{self.output}"

    def _run(self, block: Block) -> None:
        script = f'. {self._state}\n{block.text}\n{{ export -p; echo "cd $PWD"; }} > {self._state}\n'
        log = self._folder / "output"
        with log.open("wb") as output:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=BLOCK_SECONDS,
                check=False,
            )
        self.output = log.read_text(encoding="utf-8")
        assert done.returncode == 0, f"README.md:{block.line}: exit {done.returncode}\n{block.text}\n{self.output}"

    def clean_up(self) -> None:
        """End what the README started in the background and did not end, by the ids that it kept."""
        for file in self.work.glob("*.pid"):
            pid = int(file.read_text())
            if is_tellonce(pid):
                os.kill(pid, signal.SIGKILL)
        if self.work != self._folder:
            shutil.rmtree(self.work)


def is_tellonce(pid: int) -> bool:
    """Whether a process of this id runs and is one of ours."""
    try:
        return b"tellonce" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.fixture
def blocks(root: Path) -> list[Block]:
    """The README's blocks."""
    return blocks_of(root / "README.md")


@pytest.fixture
def reader(tmp_path: Path, own_kafka: KafkaServer, postgres: PostgresServer) -> Iterator[Reader]:
    """A reader with a Kafka and two empty databases."""
    names = [f"readme_{each}_{os.getpid()}" for each in ("register", "fund")]
    register, fund = (postgres.create_database(name).replace("+psycopg", "") for name in names)
    kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    environment = kept | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "KAFKA": own_kafka.bootstrap_servers,
        "REGISTER": register,
        "FUND": fund,
        "COLUMNS": "200",
        "PYTHONUTF8": "1",
        "TMPDIR": str(tmp_path),
    }
    someone = Reader(tmp_path, environment)
    yield someone
    someone.clean_up()
    for name in names:
        postgres.drop_database(name)


@pytest.mark.kafka
@pytest.mark.timeout(600)
def test_readme_walkthrough_runs_in_order(blocks: list[Block], reader: Reader) -> None:
    """Whoever follows the README with a Kafka and a PostgreSQL gets what it shows, to the last line."""
    for block in blocks:
        reader.follow(block)

    pids = [int(file.read_text()) for file in reader.work.glob("*.pid")]
    assert len(pids) == 2
    wait_until(lambda: not any(map(is_tellonce, pids)))


def test_every_block_is_run_or_names_a_make_target(blocks: list[Block], root: Path) -> None:
    """No block of the README is there to be looked at only."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (root / "Makefile").read_text(), re.MULTILINE))

    for block in blocks:
        if block.language == "console":
            for command in block.text.splitlines():
                program, target = command.split()[:2]
                assert program == "make", f"README.md:{block.line}"
                assert target in targets, f"README.md:{block.line}"
        else:
            assert block.language in RUN, f"README.md:{block.line}"
            assert (block.language in {"yaml", "json", "python"}) == (block.file is not None), f"README.md:{block.line}"


def test_every_linked_file_exists(root: Path) -> None:
    """A link of a document leads to a file or folder of the checkout."""
    for page in [*root.glob("*.md"), *root.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_make_target_that_a_page_names_exists(root: Path) -> None:
    """A page tells nobody to run a target that the Makefile has not."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (root / "Makefile").read_text(), re.MULTILINE))

    for page in [*root.glob("*.md"), *root.glob("docs/**/*.md")]:
        named = set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
        assert named <= targets, page.name
