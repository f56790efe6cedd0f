"""The wheel in empty environments: with the extra it runs the demonstration, without it all that a department needs.

What is installed is what the wheel itself asks for, in the versions of requirements.lock and with their hashes checked.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = ROOT / "tools" / "uv.sh"


def ran(*command: str | Path, cwd: Path = ROOT, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a command that sees neither the checkout's packages nor any setting of tellonce."""
    hidden = ("TELLONCE_", "PYTHON", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**environment, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


class Host:
    """A machine on which nothing but the wheel was installed."""

    def __init__(self, environment: Path, work: Path) -> None:
        self._bin = environment / "bin"
        self.work = work
        work.mkdir()

    def python(self, program: str) -> str:
        """What a program prints there."""
        done = ran(self._bin / "python", "-c", program, cwd=self.work)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def tellonce(self, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run the installed command in an empty folder."""
        return ran(self._bin / "tellonce", *arguments, cwd=self.work, **settings)

    def packages(self) -> set[str]:
        """The names of what is installed."""
        program = "from importlib.metadata import distributions as d; print(*(each.name for each in d()))"
        return {re.sub(r"[-_.]+", "-", name).lower() for name in self.python(program).split()}

    def check(self) -> "subprocess.CompletedProcess[str]":
        """Check the city that the wheel carries."""
        city = Path(self.python("from tellonce.demo.sites import demo_root as r; print(r())"))
        assert city.is_relative_to(self._bin.parent), city
        parts = {"topology": "topology.yaml", "schemas": "schemas", "producers": "producers", "consumers": "consumers"}
        settings = {f"TELLONCE_{name.upper()}": str(city / part) for name, part in parts.items()}
        return self.tellonce("check", "--json", **settings)


def install(environment: Path, requirements: Path) -> None:
    """Install into a new environment, from uv's cache where `make setup` has filled it, else from the registry."""
    made = ran(UV, "venv", "--quiet", "--no-project", "--no-config", "--python", sys.executable, environment)
    assert made.returncode == 0, made.stderr
    command: list[str | Path] = [UV, "pip", "install", "--quiet", "--no-config", "--require-hashes"]
    command += ["--only-binary", ":all:", "--python", environment / "bin" / "python"]
    command += ["--requirement", requirements, "--constraint", ROOT / "requirements.lock"]
    if ran(*command, "--offline").returncode == 0:
        return
    done = ran(*command)
    if done.returncode != 0 and re.search("failed to fetch|error sending request", done.stderr, re.IGNORECASE):
        why = done.stderr.strip().splitlines()[-1].strip()
        pytest.skip(f"the wheel's packages could be fetched neither from uv's cache nor from a registry: {why}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    built = ran(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


def host_with(wheel: Path, folder: Path, extra: str) -> Host:
    """A machine with the wheel and one of its extras, or none."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    requirements = folder / "wheel.txt"
    requirements.write_text(f"tellonce{extra} @ {wheel.as_uri()} --hash=sha256:{digest}\n", encoding="utf-8")
    install(folder / "environment", requirements)
    return Host(folder / "environment", folder / "work")


def locked_names(lock: Path) -> set[str]:
    """The packages of a lock, for whichever platform."""
    return set(re.findall(r"^([a-z0-9-]+)(?:\[[a-z]+\])?==", lock.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.timeout(300)
def test_wheel_alone_is_what_a_department_needs(wheel: Path, tmp_path: Path) -> None:
    """Without the extra every command but the demonstration works, which says in one sentence what installs it."""
    host = host_with(wheel, tmp_path, "")

    version, helped, service = (host.tellonce(*words) for words in (["--version"], ["--help"], ["relay", "--help"]))
    checked, refused = host.check(), host.tellonce("demo", "--residents", "50", "--changes", "10")

    assert host.packages() - {"tellonce"} <= locked_names(ROOT / "deploy" / "requirements.lock")
    assert [done.returncode for done in (version, helped, service)] == [0, 0, 0]
    assert version.stdout.startswith("tellonce ")
    assert (checked.returncode, json.loads(checked.stdout)["problems"]) == (0, [])
    assert refused.returncode == 3
    assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr
    assert "the package faker" in refused.stderr
    assert "pip install 'tellonce[demo]'" in refused.stderr


@pytest.mark.server
@pytest.mark.timeout(300)
def test_wheel_with_the_extra_runs_the_demonstration(wheel: Path, tmp_path: Path) -> None:
    """With the extra the installed wheel carries the whole city, far from any checkout, and its verdict is true."""
    host = host_with(wheel, tmp_path, "[demo]")

    # The check compiles most of what the demonstration's fifteen processes import, and little else.
    checked, shown = host.check(), host.tellonce("demo", "--residents", "50", "--changes", "10", "--json")

    assert checked.returncode == 0, checked.stdout
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert json.loads(shown.stdout)["true"]
