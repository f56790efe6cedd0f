"""How the jars are found, fetched and kept."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.testing import kafka_jars as module
from tellonce.testing.kafka_jars import cache_folder, find_java, find_pom, kafka_jars

POM = "<project><properties><kafka.version>9.9.9</kafka.version></properties></project>"
# Stands in for Maven: it notes that it ran, takes its time, and leaves one jar where it was told to.
MAVEN = """#!/bin/sh
echo run >> "$MAVEN_RUNS"
sleep 0.2
for word in "$@"; do case $word in -DoutputDirectory=*) mkdir -p "${word#*=}"; touch "${word#*=}/kafka.jar";; esac; done
"""
BROKEN_MAVEN = """#!/bin/sh
printf '\\033[31m[ERROR] no route to the repository\\033[m\\n'
exit 1
"""


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in front of PATH, beside a cache of the test's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("TELLONCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MAVEN_RUNS", str(tmp_path / "runs"))
    return folder


def install(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(script, encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def write_pom(tmp_path: Path, content: str = POM) -> Path:
    pom = tmp_path / "pom.xml"
    pom.write_text(content, encoding="utf-8")
    return pom


def test_jars_are_fetched_once_by_parallel_first_calls(tmp_path: Path, bin_folder: Path) -> None:
    """Two runs that start at once on a new machine share one fetch, and neither sees half a folder."""
    install(bin_folder, "mvn", MAVEN)
    pom = write_pom(tmp_path)

    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(kafka_jars, [pom] * 4))

    assert len(set(folders)) == 1
    assert [jar.name for jar in folders[0].iterdir()] == ["kafka.jar"]
    assert (tmp_path / "runs").read_text(encoding="utf-8") == "run\n"
    assert folders[0].name.startswith("kafka-9.9.9-")


def test_jars_of_a_changed_pom_are_fetched_anew(tmp_path: Path, bin_folder: Path) -> None:
    """A new library version in the pom never runs with the jars of the old one."""
    install(bin_folder, "mvn", MAVEN)
    first = kafka_jars(write_pom(tmp_path))

    second = kafka_jars(write_pom(tmp_path, POM.replace("</project>", "<!-- log4j 3 --></project>")))

    assert first != second


def test_failed_fetch_says_why_and_leaves_nothing(tmp_path: Path, bin_folder: Path) -> None:
    """Maven's reason reaches the reader in one line, and a failed fetch is not taken for a cache."""
    install(bin_folder, "mvn", BROKEN_MAVEN)

    with pytest.raises(RetryableError, match=r"^Maven could not fetch Kafka's jars: no route to the repository$"):
        kafka_jars(write_pom(tmp_path))

    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_missing_maven_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Maven the reader learns what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TELLONCE_CACHE", str(tmp_path / "cache"))

    with pytest.raises(ConfigurationError, match=r"there is no mvn on PATH: install Maven$"):
        kafka_jars(write_pom(tmp_path))


@pytest.mark.parametrize("home", [None, "empty"])
def test_missing_java_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str | None) -> None:
    """Without Java the reader learns what to install, and which of the two places was looked at."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / home))

    with pytest.raises(ConfigurationError, match="in JAVA_HOME" if home else "on PATH"):
        find_java()


def test_cache_folder_follows_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TELLONCE_CACHE comes before XDG_CACHE_HOME, which comes before the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TELLONCE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    folders = [cache_folder()]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    folders.append(cache_folder())
    monkeypatch.setenv("TELLONCE_CACHE", str(tmp_path / "own"))
    folders.append(cache_folder())

    assert folders == [tmp_path / "home/.cache/tellonce", tmp_path / "xdg/tellonce", tmp_path / "own"]


def test_pom_of_the_checkout_names_a_version() -> None:
    """The pom that ships is found and can be read for its version, which names the cache."""
    assert "<kafka.version>4." in find_pom().read_text(encoding="utf-8")


def test_command_tells_a_missing_java_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that the Makefile runs ends with the error's exit code and no traceback."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)

    code = module.main()

    assert code == ConfigurationError.exit_code
    assert capsys.readouterr().err.count("\n") == 1
