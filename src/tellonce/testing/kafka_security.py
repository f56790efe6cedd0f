"""TLS certificates, SCRAM users and the authorizer of the secured test broker."""

import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tellonce.model.errors import ConfigurationError, RetryableError

__all__ = ["ADMIN", "BROKER", "MECHANISM", "Security"]

ADMIN = "admin"
BROKER = "broker"
MECHANISM = "SCRAM-SHA-512"
DAYS_VALID = "7"
# The format tool splits `name=…,password=…` at commas and brackets, and knows no escape.
PLAIN_WORD = re.compile(r"[A-Za-z0-9._-]+")


def _token() -> str:
    return secrets.token_hex(16)


@dataclass(slots=True, kw_only=True)
class Security:
    """What a secured broker and its clients share: a folder with certificates, and passwords by user.

    The broker denies what no ACL allows. `admin` is a super user; so is the broker itself.
    """

    folder: Path
    passwords: dict[str, str] = field(default_factory=lambda: {ADMIN: _token(), BROKER: _token()})

    @property
    def ca_path(self) -> Path:
        """The certificate of the authority that a client must trust, PEM."""
        return self.folder / "ca.pem"

    @property
    def broker_path(self) -> Path:
        """The broker's private key and certificate chain, PEM."""
        return self.folder / "broker.pem"

    def client_settings(self, user: str) -> dict[str, str]:
        """The confluent-kafka settings, but for the address, with which this user connects.

        Raises:
            ConfigurationError: the broker has no such user.
        """
        if user not in self.passwords:
            message = (
                f"the test broker has no user {user!r}: it has {', '.join(sorted(self.passwords))}; add_user first"
            )
            raise ConfigurationError(message)
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": MECHANISM,
            "sasl.username": user,
            "sasl.password": self.passwords[user],
            "ssl.ca.location": str(self.ca_path),
        }

    def format_options(self) -> list[str]:
        """The options with which the format tool stores the users that must be there before the first start."""
        options: list[str] = []
        for user in (ADMIN, BROKER):
            password = self.passwords[user]
            if not PLAIN_WORD.fullmatch(password):
                message = f"the password of {user} on a test broker may hold letters, digits, '.', '_' and '-' only"
                raise ConfigurationError(message)
            options += ["--add-scram", f"{MECHANISM}=[name={user},password={password}]"]
        return options

    def broker_properties(self) -> dict[str, str]:
        """The broker's settings for TLS, SCRAM and ACLs; its listeners are CLIENT and CONTROLLER.

        The controller's listener asks for a certificate (mutual TLS): SCRAM users are stored in the log that it serves.
        """
        login = "org.apache.kafka.common.security.scram.ScramLoginModule"
        return {
            "listener.security.protocol.map": "CLIENT:SASL_SSL,CONTROLLER:SSL",
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            "listener.name.client.scram-sha-512.sasl.jaas.config": (
                f'{login} required username="{BROKER}" password="{self.passwords[BROKER]}";'
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.broker_path),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca_path),
            "listener.name.controller.ssl.client.auth": "required",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:{BROKER};User:{ADMIN};User:CN={BROKER}",
        }

    def write_certificates(self) -> None:
        """Make the authority and the broker's certificate for 127.0.0.1 and localhost.

        Raises:
            ConfigurationError: openssl is not installed.
            RetryableError: openssl failed.
        """
        openssl = shutil.which("openssl")
        if openssl is None:
            message = "a secured test broker needs certificates and there is no openssl on PATH: install OpenSSL"
            raise ConfigurationError(message)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        extensions = self.folder / "broker.ext"
        extensions.write_text(
            "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n", encoding="ascii"
        )
        authority = [*key, "-x509", "-days", DAYS_VALID, "-subj", "/CN=tellonce test authority"]
        self._run(openssl, "req", *authority, "-keyout", "ca.key", "-out", "ca.pem")
        self._run(openssl, "req", *key, "-subj", f"/CN={BROKER}", "-keyout", "broker.key", "-out", "broker.csr")
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", DAYS_VALID]
        self._run(
            openssl, "x509", "-req", "-in", "broker.csr", *signing, "-extfile", extensions.name, "-out", "broker.crt"
        )
        parts = ("broker.key", "broker.crt", "ca.pem")
        whole = "".join((self.folder / part).read_text(encoding="ascii") for part in parts)
        self.broker_path.write_text(whole, encoding="ascii")

    def _run(self, *command: str) -> None:
        result = subprocess.run(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
        )
        if result.returncode:
            message = f"openssl {command[1]} failed: {result.stderr.strip()[-300:]}"
            raise RetryableError(message)
