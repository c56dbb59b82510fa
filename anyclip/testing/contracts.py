"""pytest classes that plugin authors subclass: six lines bring every check of the kit.

    class TestHTSAT(TowerContract):
        name = "audio/htsat"
        tiny = {"width": 16, "depth": 2}

        def values(self, n):
            return random_clips(n, seconds=1)

Every check is a test method (`test_rows_are_independent`), so `-k`, `xfail` and overriding work as usual.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from anyclip.testing.conformance import CHECKS
from anyclip.testing.kit import Check, Fault, refuse_unknown, run_check
from anyclip.testing.subjects import LossSubject, ModalitySubject, ReaderSubject, Subject, TowerSubject


class Contract:
    """What the contract classes share.

    name: registry name. tiny: options of a small instance (default: the spec's). cases: label -> options, to run the
    checks several times; an option set may be a pair (registry name, options). exempt: check -> reason. promises:
    optional checks that must hold.
    """

    kind: ClassVar[str] = ""
    name: ClassVar[str] = ""
    tiny: ClassVar[Mapping[str, Any] | None] = None
    cases: ClassVar[Mapping[str, Any]] = {}
    exempt: ClassVar[Mapping[str, str] | None] = None
    promises: ClassVar[tuple[str, ...] | None] = None
    _subjects: ClassVar[dict[Any, Subject]] = {}

    @pytest.fixture
    def case(self, request: pytest.FixtureRequest) -> str | None:
        """The label of the case that runs, or None."""
        return getattr(request, "param", None)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if self.cases and "case" in metafunc.fixturenames:
            metafunc.parametrize("case", list(self.cases), indirect=True, scope="class")

    def exempt_in(self, case: str | None) -> Mapping[str, str] | None:
        """Exemptions of one case; default: `exempt` for all."""
        return self.exempt

    def subject(self, case: str | None) -> Subject:
        """What the checks look at, kept until another case or class comes."""
        key = (type(self), case)
        if key not in Contract._subjects:
            Contract._subjects.clear()
            Contract._subjects[key] = self.make_subject(case)
            refuse_unknown(CHECKS[self.kind], Contract._subjects[key])
        return Contract._subjects[key]

    def settings(self, case: str | None) -> tuple[str, dict[str, Any]]:
        """(registry name, options and declarations) of a case."""
        given = self.cases[case] if case is not None else self.tiny
        name = self.name
        if isinstance(given, tuple):
            name, given = given[0], given[1]
        return name, {"options": given, "exempt": self.exempt_in(case), "promises": self.promises}

    def make_subject(self, case: str | None) -> Subject:
        raise NotImplementedError

    def run(self, check: Check, case: str | None) -> None:
        """One check as a test: its fault fails it without a traceback, another exception keeps its own."""
        __tracebackhide__ = True
        subject = self.subject(case)
        if check.optional and check.name not in subject.promises:
            pytest.skip(f"not promised; `anyclip conformance {subject.name}` tries it")
        outcome = run_check(check, subject)
        if outcome.status == "skipped":
            pytest.skip(outcome.message)
        if outcome.status == "failed":
            if outcome.error is not None and not isinstance(outcome.error, Fault):
                raise outcome.error
            pytest.fail(f"{check.name}: {outcome}", pytrace=False)


def _bring(cls: type[Contract]) -> None:
    """Give a contract class a test method per check of its kind."""
    for check in CHECKS[cls.kind]:

        def test(self: Contract, case: str | None, check: Check = check) -> None:
            __tracebackhide__ = True
            self.run(check, case)

        test.__name__ = f"test_{check.name}"
        test.__doc__ = check.about
        setattr(cls, test.__name__, test)


class TowerContract(Contract):
    """Checks of a tower and its processor. Override `values` when its modality renders no scenes."""

    kind = "tower"

    def values(self, n: int) -> list[Any]:
        """n different values that the processor loads; of different lengths where lengths vary."""
        raise NotImplementedError

    def make_subject(self, case: str | None) -> TowerSubject:
        name, more = self.settings(case)
        own = type(self).values is not TowerContract.values
        return TowerSubject(name, values=self.values if own else None, **more)


class LossContract(Contract):
    """Checks of a loss. Override `columns` when it reads extra columns of the data."""

    kind = "loss"

    def columns(self, n: int) -> Mapping[str, Any]:
        """Extra columns for n rows, by name."""
        return {}

    def make_subject(self, case: str | None) -> LossSubject:
        name, more = self.settings(case)
        return LossSubject(name, columns=self.columns, **more)


class ReaderContract(Contract):
    """Checks of a reader. Override `example` to write the rows it reads."""

    kind = "reader"

    def example(self, folder: Path) -> Mapping[str, Any]:
        """Write a few rows into `folder`; returns the options that read them."""
        raise NotImplementedError

    def make_subject(self, case: str | None) -> ReaderSubject:
        name, more = self.settings(case)
        own = type(self).example is not ReaderContract.example
        return ReaderSubject(name, example=self.example if own else None, **more)


class ModalityContract(Contract):
    """Checks of a modality: decode, preview, synthetic scenes, prompts."""

    kind = "modality"

    def make_subject(self, case: str | None) -> ModalitySubject:
        name, more = self.settings(case)
        return ModalitySubject(name, **more)


for _cls in (TowerContract, LossContract, ReaderContract, ModalityContract):
    _bring(_cls)
