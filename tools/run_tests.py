"""Runs the tests side by side; what fails is run once more by itself, so that a flake is seen and sinks no run.

Arguments are pytest's. A test that fails beside others and passes alone is named at the end with the seed that plays
the run again: it is a defect of the test or of the product, to be mended at its cause. Whatever fails twice, and
whatever is no failure of a single test, keeps pytest's own exit code.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

# More failures than these are no flakes, and running each of them again would only delay the news.
MOST_FLAKES = 5
TESTS_FAILED = 1
LEAST_MEMORY_BYTES = 8 << 30
# What pytest-xdist adds to the name of a test that tests/conftest.py gave a group.
GROUP = re.compile(r"@server-[a-z0-9-]+$")
# The tests wait for servers about half of their time; beyond eight workers, the servers' memory is the limit.
WORKERS = min(2 * (os.cpu_count() or 1), 8)


def main(arguments: Sequence[str]) -> int:
    """Gives the exit code of the run; what stands behind `--` says which tests, the rest are pytest's options."""
    options, _, tests = partitioned(arguments, "--")
    seed = seed_of(options)
    workers = [] if any(one.startswith("-n") for one in options) else ["-n", str(WORKERS)]
    with tempfile.TemporaryDirectory() as cache:
        common = ["-o", f"cache_dir={cache}", f"--randomly-seed={seed}", *options]
        code = pytest([*workers, "--dist", "loadgroup", *common, *tests])
        failed = failed_tests(Path(cache))
        if code != TESTS_FAILED or not failed or len(failed) > MOST_FLAKES:
            return code
        print(f"\n{len(failed)} failed beside others; run once more, by themselves:", flush=True)
        code = pytest([*common, "-n", "0", *failed])
    if code == 0:
        print("\n== flaky: failed beside others, passed alone; each is a defect to be mended at its cause ==")
        print("\n".join(failed))
        print(f'the run again: make test PYTEST_OPTIONS="--randomly-seed={seed}"', flush=True)
    return code


def partitioned(arguments: Sequence[str], separator: str) -> tuple[list[str], str, list[str]]:
    """Gives what stands before and behind the first separator, as `str.partition` does."""
    found = list(arguments)
    if separator not in found:
        return found, "", []
    place = found.index(separator)
    return found[:place], separator, found[place + 1 :]


def seed_of(arguments: Sequence[str]) -> int:
    """Gives the seed that the arguments name, else a new one."""
    named = [one.partition("=")[2] for one in arguments if one.startswith("--randomly-seed=")]
    return int(named[-1]) if named else secrets.randbelow(2**32)


def failed_tests(cache: Path) -> list[str]:
    """Gives the tests that failed in the run that kept its memory in this folder."""
    file = cache / "v" / "cache" / "lastfailed"
    names = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return sorted(GROUP.sub("", name) for name in names)


def in_memory() -> dict[str, str]:
    """Gives the environment that keeps the tests' files in memory, where there is enough: they wait for disks else."""
    folder = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it by each that writes
    is_large = folder.is_dir() and shutil.disk_usage(folder).free >= LEAST_MEMORY_BYTES
    return {"TMPDIR": str(folder)} if is_large and "TMPDIR" not in os.environ else {}


def compiled() -> dict[str, str]:
    """Gives the environment in which every process finds its modules compiled, in a folder of this `.venv`.

    A test of the command line starts processes; each would compile hundreds of modules by itself, which takes longer
    than the test, where the user's environment says PYTHONDONTWRITEBYTECODE.
    """
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(sys.prefix) / "bytecode")}


def pytest(arguments: Sequence[str]) -> int:
    """Gives pytest's exit code."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], env=os.environ | in_memory() | compiled(), check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
