"""What a check is and what comes out of it; shared by the pytest classes and `anyclip conformance`."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from anyclip.errors import UserError, did_you_mean

Status = Literal["passed", "failed", "skipped", "noted"]


class Fault(AssertionError):
    """A promise that a part breaks.

    fault: what is wrong, with the numbers seen. mend: how to put it right.
    """

    def __init__(self, fault: str, mend: str):
        self.fault, self.mend = fault, mend
        super().__init__(f"{fault}\n  mend: {mend}")


class NotApplicable(Exception):
    """A check that has nothing to try on this part; the message says why."""


@dataclass(frozen=True)
class Check:
    """One promise: `run(subject)` returns a note or None, raises `Fault` or `NotApplicable`.

    optional: must hold only where the part promises it; a fault is noted otherwise.
    """

    name: str
    about: str
    run: Callable[[Any], str | None]
    optional: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a check found. `noted`: an optional check that does not hold."""

    check: str
    about: str
    status: Status
    message: str = ""
    mend: str = ""
    error: BaseException | None = None

    def __str__(self) -> str:
        return f"{self.message}\n  mend: {self.mend}" if self.mend else self.message


def check(into: list[Check], *, optional: bool = False) -> Callable:
    """Decorator: append a function to a list of checks under its name; its docstring says what is promised."""

    def register(function: Callable[[Any], str | None]) -> Callable:
        about = " ".join((function.__doc__ or function.__name__).split())
        into.append(Check(function.__name__, about, function, optional))
        return function

    return register


def run_check(one: Check, subject: Any) -> Outcome:
    """Run one check; whatever it raises becomes an outcome (Ctrl-C excepted)."""
    if one.name in subject.exempt:
        return Outcome(one.name, one.about, "skipped", f"exempt: {subject.exempt[one.name]}")
    failed: Status = "noted" if one.optional and one.name not in subject.promises else "failed"
    try:
        note = one.run(subject)
    except NotApplicable as reason:
        return Outcome(one.name, one.about, "skipped", str(reason))
    except Fault as fault:
        return Outcome(one.name, one.about, failed, fault.fault, fault.mend, fault)
    except (Exception, SystemExit) as error:
        return Outcome(one.name, one.about, failed, describe_error(error), _mend_of(error), error)
    return Outcome(one.name, one.about, "passed", note or "")


def run_checks(checks: Iterable[Check], subject: Any) -> Iterator[Outcome]:
    """The outcomes one by one. Raises UserError for an exemption or a promise that names no check."""
    checks = list(checks)
    refuse_unknown(checks, subject)
    for one in checks:
        yield run_check(one, subject)


def refuse_unknown(checks: Iterable[Check], subject: Any) -> None:
    """Raises UserError when an exemption or a promise names no check."""
    names = {one.name for one in checks}
    for word, given in (("exempt", subject.exempt), ("promises", subject.promises)):
        for name in sorted(set(given) - names):
            raise UserError(f"{word} names no check: {name!r}.", where=subject.label, hint=did_you_mean(name, names))


def describe_error(error: BaseException) -> str:
    """`TypeError: ... (tower.py:31)`: the exception and the last line outside this package's tests and torch."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _foreign(f.filename)]
    where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:600]}{where}"


def _foreign(filename: str) -> bool:
    parts = filename.replace(os.sep, "/")
    return any(word in parts for word in ("/torch/", "/anyclip/testing/", "/anyclip/registry/", "<frozen", "/_pytest/"))


def _mend_of(error: BaseException) -> str:
    if isinstance(error, UserError):
        return error.next or error.hint or "change the options the part is tried with (tiny)"
    if "CUDA" in str(error) or "cuda" in str(error):
        return "take the device from the inputs or the parameters; name none"
    return "make the call work; the line in brackets raised it"
