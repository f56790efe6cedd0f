"""What a check of the schemas has to say: one fact, where it is, and what to do."""

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with the published or about-to-be-published schemas."""

    rule: str
    """A fixed name to look up and to test for, such as `decimal-changed`."""
    subject: str
    """The registry subject, such as `citizen.identity.v1-value`; the file's path where no view is concerned."""
    sentence: str
    """What was found and how to do it instead."""
    path: str | None = None
    """The field concerned, as `row.<field>`."""
    old_version: int | None = None
    new_version: int | None = None

    @property
    def text(self) -> str:
        """The finding on one line, for people."""
        versions = "" if self.old_version is None else f" v{self.old_version} -> v{self.new_version}"
        path = f" {self.path}" if self.path else ""
        return f"{self.subject}{versions}{path}: {self.sentence} [{self.rule}]"
