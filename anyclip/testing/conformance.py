"""Run the checks on registered parts: what the pytest classes and `anyclip conformance` share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anyclip.errors import UserError, did_you_mean
from anyclip.registry import Part, get_registry
from anyclip.testing.checks_loss import LOSS
from anyclip.testing.checks_modality import MODALITY
from anyclip.testing.checks_part import PART
from anyclip.testing.checks_processor import PROCESSOR
from anyclip.testing.checks_reader import READER
from anyclip.testing.checks_tower import TOWER
from anyclip.testing.checks_tower_saving import SAVING
from anyclip.testing.kit import Check, Outcome, run_checks
from anyclip.testing.subjects import LossSubject, ModalitySubject, ReaderSubject, Subject, TowerSubject

CHECKS: dict[str, list[Check]] = {
    "tower": [*PART, *TOWER, *PROCESSOR, *SAVING],
    "loss": [*PART, *LOSS],
    "reader": [*PART, *READER],
    "modality": [*PART, *MODALITY],
}
"""Kind -> its checks, in order; other kinds get those of any part."""

SUBJECTS: dict[str, type[Subject]] = {
    "tower": TowerSubject,
    "loss": LossSubject,
    "reader": ReaderSubject,
    "modality": ModalitySubject,
}


@dataclass(frozen=True)
class PartReport:
    """What the checks of one part found."""

    kind: str
    name: str
    distribution: str
    outcomes: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        return all(outcome.status != "failed" for outcome in self.outcomes)


def checks_of(kind: str) -> list[Check]:
    return CHECKS.get(kind, PART)


def parts_named(name: str) -> list[Part]:
    """Parts of a distribution (`anyclip-audio`), of an entry point (`audio`), or of that registry name.

    Raises UserError with the nearest name.
    """
    registry = get_registry()
    for row in registry.rows:
        if name in (row.distribution, row.name) and not (row.name == name and _is_part(name)):
            if row.status == "failed":
                raise UserError(f"{row.distribution} did not load: {row.problems[0]}.", next=row.mend)
            if row.problems:
                raise UserError(f"{row.distribution} has a problem: {row.problems[0]}.", next=row.mend)
            return row.parts
    if _is_part(name):
        bare = name.rpartition(":")[2]
        return [registry.part(kind, name) for kind in _kinds() if bare in registry.names(kind)]
    known = [row.distribution for row in registry.rows] + [n for kind in _kinds() for n in registry.names(kind)]
    raise UserError(
        f"no part and no package is called {name!r}.", hint=did_you_mean(name, known), next="anyclip plugins"
    )


def _kinds() -> list[str]:
    from anyclip.specs import SPEC_TYPES

    return list(SPEC_TYPES)


def _is_part(name: str) -> bool:
    bare = name.rpartition(":")[2]
    return any(bare in get_registry().names(kind) for kind in _kinds())


def subject_of(part: Part, *, options: Mapping[str, Any] | None = None, **more: Any) -> Subject:
    """What the checks of a part look at; `options` instead of the spec's `tiny`."""
    kind = part.spec.kind
    return SUBJECTS.get(kind, Subject)(part.qualified, kind=kind, options=options, **more)


def conform(
    part: Part, *, options: Mapping[str, Any] | None = None, checks: Sequence[str] | None = None
) -> Iterator[Outcome]:
    """Run the checks of a part (those named in `checks`, default all), yielding each outcome as it is found."""
    subject = subject_of(part, options=options)
    wanted = checks_of(part.spec.kind)
    if checks:
        names = [c.name for c in wanted]
        for name in checks:
            if name not in names and len(checks) == 1:
                raise UserError(f"{part.spec.kind} has no check {name!r}.", hint=did_you_mean(name, names))
        subject.exempt = {k: v for k, v in subject.exempt.items() if k in checks}
        subject.promises = tuple(p for p in subject.promises if p in checks)
        wanted = [c for c in wanted if c.name in checks]
    return run_checks(wanted, subject)


def report(part: Part, *, options: Mapping[str, Any] | None = None, checks: Sequence[str] | None = None) -> PartReport:
    """Every outcome of a part."""
    found = tuple(conform(part, options=options, checks=checks))
    return PartReport(part.spec.kind, part.spec.name, part.distribution, found)
