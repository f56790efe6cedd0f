"""Settings of every command: flags, then environment variables, then an environment file, then secret files."""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import ConfigurationError

__all__ = ["Settings", "load_settings"]

_PREFIX = "TELLONCE_"


class Settings(BaseSettings):
    """What a department's host says about itself; every name is an environment variable with TELLONCE_ before it."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", env_ignore_empty=True, extra="ignore", frozen=True
    )

    topology: Path = Field(default=Path("topology.yaml"), description="The contract between departments.")
    schemas: Path = Field(default=Path("schemas"), description="Folder of the Avro schemas and their lock.")
    producers: Path = Field(default=Path("producers"), description="Folder with one module per publishing department.")
    consumers: Path = Field(
        default=Path("consumers"),
        description="Folder with one module per subscribing department, and the reconciler's policy.",
    )
    keys: Path = Field(default=Path("keys"), description="Folder of the key files, each readable by its owner only.")
    database_url: SecretStr | None = Field(default=None, description="The department's own database.")
    database_url_file: Path | None = Field(
        default=None, description="File that holds the database URL, for where it has a password."
    )
    kafka: KafkaSettings = KafkaSettings()
    sweep_interval_seconds: float = Field(default=600.0, gt=0, description="Rest after a whole sweep of the tables.")
    metrics_host: str = Field(
        default="127.0.0.1", min_length=1, description="Address at which a service answers for its metrics and health."
    )
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65_535,
        description="Port of these; by default 9821 of a relay, 9822 of an applier, 9823 of the reconciler; 0 takes a "
        "free one, which the log names.",
    )
    health_seconds: float = Field(
        default=60.0, gt=0, description="The longest that a service's loop may take for a turn and still be healthy."
    )
    log_form: Literal["json", "text"] = Field(default="json", description="`json`, or `text` for people.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level logged: `debug`, `info`, `warning`, `error`."
    )

    def database(self) -> str:
        """Gives the database URL.

        Raises:
            ConfigurationError: none is set, or its file cannot be read.
        """
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        if self.database_url_file is not None:
            try:
                return self.database_url_file.read_text().strip()
            except OSError as error:
                msg = f"expected the database URL in {self.database_url_file}, found no readable file"
                raise ConfigurationError(msg) from error
        msg = (
            "expected the department's database in TELLONCE_DATABASE_URL or TELLONCE_DATABASE_URL_FILE, found neither; "
            "set one, for example to postgresql+psycopg://tellonce@127.0.0.1/fund"
        )
        raise ConfigurationError(msg)


def load_settings(env_file: Path | None = None) -> Settings:
    """Gives the settings as the environment and an optional file have them; an empty value counts as none.

    Raises:
        ConfigurationError: a value is not what its setting takes, or a variable names no setting; the message names it.
    """
    if env_file is not None and not env_file.is_file():
        msg = f"expected an environment file at {env_file}, found none"
        raise ConfigurationError(msg)
    named = [*os.environ, *(dotenv_values(env_file) if env_file else ())]
    if wrong := [_unknown(name) for name in named if _is_unknown(name)]:
        raise ConfigurationError("settings are wrong: " + "; ".join(wrong))
    try:
        return Settings(_env_file=env_file)  # type: ignore[call-arg]  # pydantic-settings' own argument
    except ValidationError as error:
        texts = [_told(_variable(*map(str, e["loc"])), e["type"], e["msg"]) for e in error.errors()]
        raise ConfigurationError("settings are wrong: " + "; ".join(texts)) from error
    except SettingsError as error:
        # It quotes the text that is no JSON, which may be a secret in the wrong place.
        msg = f"settings are wrong: expected a JSON object of strings in {_variable('kafka', 'extra')}, found none"
        raise ConfigurationError(msg) from error


def _variable(*names: str) -> str:
    return _PREFIX + "__".join(names).upper()


_VARIABLES = {_variable(name) for name in Settings.model_fields} | {
    _variable("kafka", name) for name in KafkaSettings.model_fields
}


def _is_unknown(name: str) -> bool:
    # The parts of KAFKA are checked with their values. CACHE is where fetched test servers are kept.
    upper = name.upper()
    is_nested = upper.startswith(_variable("kafka", ""))
    return upper.startswith(_PREFIX) and not is_nested and upper not in _VARIABLES | {_variable("cache")}


def _unknown(name: str) -> str:
    near = get_close_matches(name.upper(), sorted(_VARIABLES), n=1)
    return f"{name} is no setting" + (f"; did you mean {near[0]}?" if near else "")


def _told(name: str, kind: str, message: str) -> str:
    return _unknown(name) if kind == "extra_forbidden" else f"{name}: {message}"
