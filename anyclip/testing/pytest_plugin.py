"""pytest plugin: `pytest --conformance NAME` tries every part of an installed package without a line of test code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from anyclip.testing.kit import Check


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("anyclip").addoption(
        "--conformance",
        action="append",
        default=[],
        metavar="NAME",
        help="Add the checks of anyclip.testing for this part or installed package; repeatable.",
    )


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    for name in config.getoption("--conformance") or ():
        items += list(
            _Parts.from_parent(session, name=f"conformance {name}", nodeid=f"conformance/{name}", of=name).collect()
        )


class _Parts(pytest.Collector):
    """The checks of every part of that name."""

    def __init__(self, *, of: str, **more: Any):
        super().__init__(**more)
        self.of = of

    def collect(self) -> Iterator[pytest.Item]:
        from anyclip.testing.conformance import checks_of, parts_named, subject_of

        for part in parts_named(self.of):
            subject = subject_of(part)
            for check in checks_of(part.spec.kind):
                if not check.optional or check.name in subject.promises:
                    name = f"{part.spec.kind} {part.spec.name}: {check.name}"
                    yield _Item.from_parent(self, name=name, check=check, subject=subject)


class _Item(pytest.Item):
    """One check of one part."""

    def __init__(self, *, check: Check, subject: Any, **more: Any):
        super().__init__(**more)
        self.check, self.subject = check, subject

    def runtest(self) -> None:
        from anyclip.testing.kit import Fault, run_check

        outcome = run_check(self.check, self.subject)
        if outcome.status == "skipped":
            pytest.skip(outcome.message)
        if outcome.status == "failed":
            if outcome.error is not None and not isinstance(outcome.error, Fault):
                raise outcome.error
            pytest.fail(str(outcome), pytrace=False)

    def reportinfo(self) -> tuple[str, int | None, str]:
        return "conformance", None, self.name
