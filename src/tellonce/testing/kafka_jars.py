"""The jars of the Apache Kafka that `deploy/kafka/pom.xml` names, fetched once by Maven and kept in a cache."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from tellonce.model.errors import ConfigurationError, RetryableError, TellonceError

__all__ = ["cache_folder", "find_java", "find_pom", "kafka_jars"]

FETCH_SECONDS = 900
ANSI_CODES = re.compile(r"\x1b\[[0-9;]*m")


def cache_folder() -> Path:
    """Where fetched files are kept: TELLONCE_CACHE, else `tellonce` in the user's cache folder (XDG)."""
    own = os.environ.get("TELLONCE_CACHE")
    if own:
        return Path(own)
    general = os.environ.get("XDG_CACHE_HOME")
    return (Path(general) if general else Path.home() / ".cache") / "tellonce"


def find_pom() -> Path:
    """The pom.xml that names the jars: the checkout's own, else the copy that the wheel carries.

    Raises:
        ConfigurationError: neither is there.
    """
    carried = Path(str(files("tellonce.testing").joinpath("kafka-pom.xml")))
    checkout = Path(__file__).resolve().parents[3] / "deploy" / "kafka" / "pom.xml"
    for pom in (checkout, carried):
        if pom.is_file():
            return pom
    message = f"the list of Kafka's jars is missing: expected {checkout} in a checkout or {carried} in an installation"
    raise ConfigurationError(message)


def find_java() -> str:
    """The `java` of JAVA_HOME, else of PATH.

    Raises:
        ConfigurationError: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    path = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if path is None:
        place = "in JAVA_HOME" if home else "on PATH"
        message = f"a real Kafka needs Java 17 or newer and there is no java {place}: install a Java runtime"
        raise ConfigurationError(message)
    return path


def kafka_jars(pom: Path | None = None) -> Path:
    """The folder that holds the jars; the first call fetches them (about 55 MB), and parallel first calls fetch once.

    Its name holds Kafka's version and a hash of the pom, so a changed pom is never served old jars.

    Raises:
        ConfigurationError: Maven is needed and not installed, or the pom is missing.
        RetryableError: Maven could not fetch the jars.
    """
    pom = pom or find_pom()
    content = pom.read_bytes()
    version = re.search(rb"<kafka\.version>([0-9.]+)<", content)
    if version is None:
        message = f"{pom} has no property kafka.version with a version number"
        raise ConfigurationError(message)
    folder = cache_folder() / f"kafka-{version[1].decode()}-{hashlib.sha256(content).hexdigest()[:8]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(pom, folder)
    return folder


def _fetch(pom: Path, folder: Path) -> None:
    """Have Maven copy the jars beside the folder, and rename when whole: half a fetch is never taken for a cache."""
    maven = shutil.which("mvn")
    if maven is None:
        message = "a real Kafka's jars are fetched by Maven and there is no mvn on PATH: install Maven"
        raise ConfigurationError(message)
    with tempfile.TemporaryDirectory(prefix="kafka-fetch-", dir=folder.parent) as scratch:
        jars = Path(scratch) / "jars"
        command = [maven, "--batch-mode", "--quiet", "--file", str(pom), "dependency:copy-dependencies"]
        options = ["-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
        try:
            subprocess.run(
                command + options,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=True,
                timeout=FETCH_SECONDS,
            )
        except subprocess.CalledProcessError as failure:
            output = ANSI_CODES.sub("", f"{failure.stdout}\n{failure.stderr}")
            reason = next((line for line in output.splitlines() if "[ERROR]" in line), "it gave no reason")
            message = f"Maven could not fetch Kafka's jars: {reason.removeprefix('[ERROR] ')}"
            raise RetryableError(message) from failure
        except subprocess.TimeoutExpired as failure:
            message = f"Maven did not fetch Kafka's jars within {FETCH_SECONDS} s: look at the network and try again"
            raise RetryableError(message) from failure
        jars.rename(folder)


def main() -> int:
    """Fetch the jars where needed and print their folder; 0, or the error's exit code after one sentence."""
    try:
        find_java()
        sys.stdout.write(f"{kafka_jars()}\n")
    except TellonceError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
