"""Errors that users meet. The command line prints them without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class UserError(Exception):
    """A mistake the user can mend: where it is, what is wrong, what to do next.

    Args:
        message: what is wrong, in one sentence.
        where: `file:line`, a sample id, or a config key path.
        hint: the nearest valid choice or the way to mend it.
        next: a command to run next.
    """

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None, next: str | None = None):
        self.message, self.where, self.hint, self.next = message, where, hint, next
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        if self.hint:
            text += f" {self.hint}"
        if self.next:
            text += f"\n  next: {self.next}"
        return text

    def __reduce__(self):  # loader workers send errors to the trainer
        return _rebuild_user_error, (type(self), self.message, self.where, self.hint, self.next)


def _rebuild_user_error(cls: type[UserError], message, where, hint, next):
    error = cls.__new__(cls)
    UserError.__init__(error, message, where=where, hint=hint, next=next)
    return error


@dataclass(frozen=True)
class Problem:
    """One mistake in a file: `where` is `file:line`, `key` a dotted path."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.message}" if self.key else f"{self.where}: {self.message}"


class ConfigError(UserError):
    """All the mistakes of one config file, reported at once."""

    def __init__(self, problems: Iterable[Problem], *, next: str | None = None):
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)), next=next)

    def __reduce__(self):
        return ConfigError, (self.problems,)


class PluginError(UserError):
    """A registered part that cannot be used: unknown, ambiguous, or failing to load."""


class DataError(UserError):
    """A table, shard or folder that cannot be read at all."""


class CheckpointError(UserError):
    """A checkpoint that is damaged, unsafe or does not fit the model."""


class BadSample(Exception):
    """One value that cannot be used. The row lacks that stream; the reason goes to `quarantine.jsonl`."""

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(reason)


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice most like `name`, or None."""
    choices = list(choices)
    lowered = {c.lower(): c for c in choices}
    if name.lower() in lowered:
        return lowered[name.lower()]
    found = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


def did_you_mean(name: str, choices: Iterable[str], *, noun: str = "Choices") -> str:
    """`Did you mean X?`, or the list of choices when nothing is near."""
    choices = sorted(choices)
    close = nearest(name, choices)
    if close is not None:
        return f"Did you mean {close}?"
    return f"{noun}: {', '.join(choices)}." if choices else f"{noun}: none installed."
