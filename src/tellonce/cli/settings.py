"""Settings of every command: flags, then environment variables, then an environment file, then secret files."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import ConfigurationError

__all__ = ["Settings", "load_settings"]


class Settings(BaseSettings):
    """What a department's host says about itself; every name is an environment variable with TELLONCE_ before it."""

    model_config = SettingsConfigDict(
        env_prefix="TELLONCE_", env_nested_delimiter="__", extra="ignore", frozen=True, secrets_dir=None
    )

    topology: Path = Field(default=Path("topology.yaml"), description="The contract between departments.")
    schemas: Path = Field(default=Path("schemas"), description="Avro schemas and their lock.")
    producers: Path = Field(default=Path("producers"), description="One module per publishing department.")
    consumers: Path = Field(default=Path("consumers"), description="One module per subscribing department.")
    keys: Path = Field(default=Path("keys"), description="Folder of key files, readable by their owner only.")
    database_url: SecretStr | None = Field(default=None, description="The department's own database.")
    database_url_file: Path | None = Field(default=None, description="File that holds the database URL.")
    kafka: KafkaSettings = Field(default_factory=lambda: KafkaSettings(bootstrap_servers="127.0.0.1:9092"))
    sweep_interval_seconds: float = Field(default=600.0, gt=0, description="Rest after a whole sweep of the tables.")
    log_form: Literal["json", "text"] = Field(default="json", description="Form of the log: json, or text for people.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")

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
    """Gives the settings as the environment and an optional file have them.

    Raises:
        ConfigurationError: a value is not what its setting takes; the message names the variable.
    """
    if env_file is not None and not env_file.is_file():
        msg = f"expected an environment file at {env_file}, found none"
        raise ConfigurationError(msg)
    try:
        return Settings(_env_file=env_file)  # type: ignore[call-arg]  # pydantic-settings' own argument
    except ValidationError as error:
        texts = [f"TELLONCE_{'__'.join(str(part).upper() for part in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise ConfigurationError("settings are wrong: " + "; ".join(texts)) from error
