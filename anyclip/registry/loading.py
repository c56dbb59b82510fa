"""Load plugins one by one, so that a bad one costs only its own row.

pluggy's stock loader stops at the first failing entry point; here every import, hook call and check is isolated.
"""

from __future__ import annotations

import inspect
import os
import re
import traceback
from collections.abc import Iterable
from importlib import metadata

import pluggy
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from anyclip import hookspecs
from anyclip.errors import did_you_mean
from anyclip.hookspecs import GROUP, HOOKS
from anyclip.registry.registry import Part, PluginRow
from anyclip.specs import SPEC_TYPES, Spec, TowerSpec

_TOWER_NAME = re.compile(r"[a-z][a-z0-9_-]*/[a-z0-9][a-z0-9_.-]*")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


def load_rows(only: Iterable[str] | None = None) -> list[PluginRow]:
    """One row per entry point of group `anyclip`, the core's own first.

    only: entry-point or distribution names to load; default: the environment variable `ANYCLIP_PLUGINS`
    (comma-separated), or everything installed.
    """
    from anyclip import __version__, builtin

    if only is None and "ANYCLIP_PLUGINS" in os.environ:
        only = [name.strip() for name in os.environ["ANYCLIP_PLUGINS"].split(",") if name.strip()]
    rows = [_load_module(PluginRow("anyclip", "anyclip", __version__), builtin)]
    wanted = None if only is None else {canonicalize_name(name) for name in only}
    seen: set[str] = set()
    for point, dist in sorted(_entry_points(), key=lambda pair: (pair[1].name or "", pair[0].name)):
        names = {canonicalize_name(point.name), canonicalize_name(dist.name)}
        if wanted is not None and not names & wanted:
            continue
        seen |= names
        rows.append(_load_entry(point, dist))
    for name in sorted((wanted or set()) - seen):
        row = PluginRow(name, "-", "-", "failed", [f"ANYCLIP_PLUGINS names {name!r}, which is not installed"])
        row.mend = f"pip install {name}"
        rows.append(row)
    _note_clashes(rows)
    return rows


def _entry_points() -> Iterable[tuple[metadata.EntryPoint, metadata.Distribution]]:
    """Entry points of the group with their distribution; a distribution found twice on the path counts once."""
    seen: set[str] = set()
    for dist in metadata.distributions():
        name = dist.metadata["Name"] if dist.metadata else None
        if not name or canonicalize_name(name) in seen:
            continue
        seen.add(canonicalize_name(name))
        for point in dist.entry_points:
            if point.group == GROUP:
                yield point, dist


def _load_entry(point: metadata.EntryPoint, dist: metadata.Distribution) -> PluginRow:
    row = PluginRow(point.name, dist.name, dist.version)
    unmet = unmet_requirements(dist)
    if unmet:
        row.status, row.problems = "failed", [reason for reason, _ in unmet]
        row.mend = "pip install " + " ".join(f'"{requirement}"' for _, requirement in unmet)
        return row
    try:
        module = point.load()
    except (Exception, SystemExit) as error:
        row.status, row.problems = "failed", [f"import of {point.value} failed: {_describe(error)}"]
        row.mend = f"pip install --upgrade --force-reinstall {dist.name}"
        return row
    return _load_module(row, module)


def unmet_requirements(dist: metadata.Distribution) -> list[tuple[str, str]]:
    """(reason, requirement) for each requirement in the wheel's metadata that this environment does not meet."""
    unmet = []
    for text in dist.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            unmet.append((f"its metadata has an invalid requirement {text!r}", text))
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        wanted = f"{requirement.name}{requirement.specifier}"
        try:
            have = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            unmet.append((f"needs {wanted}, which is not installed", wanted))
            continue
        if not requirement.specifier.contains(have, prereleases=True):
            unmet.append((f"needs {wanted}, but {requirement.name} {have} is installed", wanted))
    return unmet


def _load_module(row: PluginRow, module: object) -> PluginRow:
    """Register one module with a pluggy manager of its own and consume its hooks one at a time."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, row.name)
    except Exception as error:
        return _fail(row, f"hook signature: {_one_line(error)}", "compare with anyclip/hookspecs.py")
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        unknown = re.search(r"unknown hook '?(\w+)'?", str(error))
        name = unknown.group(1) if unknown else str(error)
        _problem(row, f"unknown hook {name!r}. {did_you_mean(name, HOOKS, noun='Hooks')}")
    for hook, kind in HOOKS.items():
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            _consume(row, hook, kind, implementation.function)
    if not row.parts and row.status == "ok":
        _problem(row, "registers nothing: no hook of it yields a spec")
    if row.problems and not row.parts:
        row.status = "failed"
    if row.problems and not row.mend:
        row.mend = f"report it to the author of {row.distribution}; pip uninstall {row.distribution} silences it"
    return row


def _consume(row: PluginRow, hook: str, kind: str, function) -> None:
    if inspect.signature(function).parameters:
        _problem(row, f"{hook} takes arguments; the hook has none")
        return
    try:
        for spec in function() or ():
            problem = _spec_problem(hook, kind, spec)
            if problem:
                _problem(row, problem)
            else:
                row.parts.append(Part(spec, row.distribution, row.version))
    except (Exception, SystemExit) as error:
        _problem(row, f"{hook} failed: {_describe(error)}")


def _spec_problem(hook: str, kind: str, spec: object) -> str | None:
    wanted = SPEC_TYPES[kind]
    if not isinstance(spec, wanted):
        return f"{hook} yielded {type(spec).__name__}; it takes {wanted.__name__}"
    assert isinstance(spec, Spec)
    if isinstance(spec, TowerSpec):
        if not _TOWER_NAME.fullmatch(spec.name):
            return f"bad tower name {spec.name!r}: towers are <modality>/<name> in lower case"
    elif not _NAME.fullmatch(spec.name):
        return f"bad {kind} name {spec.name!r}: lower-case letters, digits, '_', '-', '.'"
    if kind != "modality" and ":" not in spec.target:
        return f"{kind} {spec.name!r}: target {spec.target!r} is not module:Attribute"
    return None


def _note_clashes(rows: list[PluginRow]) -> None:
    owners: dict[tuple[str, str], list[PluginRow]] = {}
    for row in rows:
        for part in row.parts:
            owners.setdefault((part.spec.kind, part.spec.name), []).append(row)
    for (kind, name), found in owners.items():
        if len(found) < 2:
            continue
        for row in found:
            others = ", ".join(sorted(r.distribution for r in found if r is not row)) or row.distribution
            text = f"{kind} {name!r} is also in {others}"
            if text not in row.problems and row.distribution != "anyclip":
                row.problems.append(text)
                row.status = "partial"
                row.mend = row.mend or f"use the qualified name {row.distribution}:{name}"


def _fail(row: PluginRow, problem: str, mend: str) -> PluginRow:
    row.status, row.mend = "failed", mend
    row.problems.append(problem)
    return row


def _problem(row: PluginRow, text: str) -> None:
    row.status = "partial"
    row.problems.append(text)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _describe(error: BaseException) -> str:
    """`ImportError: ... (file.py:3)`: the exception and the plugin line it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {_one_line(error)}{where}"
