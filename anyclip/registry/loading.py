"""Load plugins one by one, so that a bad one costs only its own row.

pluggy's stock loader stops at the first failing entry point, and its check of a plugin at the first wrong hook; here
every import, hook and spec is isolated.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata

import pluggy
from packaging.utils import canonicalize_name

from anyclip.errors import did_you_mean
from anyclip.hookspecs import GROUP, HOOKS
from anyclip.registry.registry import Part, PluginRow
from anyclip.registry.requirements import unmet_requirements
from anyclip.specs import SPEC_TYPES, Spec, TowerSpec

_TOWER_NAME = re.compile(r"[a-z][a-z0-9_-]*/[a-z0-9][a-z0-9_.-]*")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_OUR_SECTION = re.compile(rf"^\s*\[\s*{GROUP}\s*\]", re.MULTILINE)
_FAULTS = (Exception, SystemExit)  # what a plugin may throw at us; Ctrl-C is the user's


def load_rows(only: Iterable[str] | None = None) -> list[PluginRow]:
    """One row per entry point of group `anyclip`, the core's own first.

    only: entry-point or distribution names to load; default: the environment variable `ANYCLIP_PLUGINS`
    (comma-separated), or everything installed.
    """
    from anyclip import __version__, builtin

    if only is None and "ANYCLIP_PLUGINS" in os.environ:
        only = [name.strip() for name in os.environ["ANYCLIP_PLUGINS"].split(",") if name.strip()]
    rows = [load_module(PluginRow("anyclip", "anyclip", __version__), builtin)]
    wanted = None if only is None else {canonicalize_name(name) for name in only} - {"anyclip"}
    seen: set[str] = set()
    for row, point, dist in _entry_points():
        names = {canonicalize_name(row.name), canonicalize_name(row.distribution)}
        if wanted is not None and not names & wanted:
            continue
        seen |= names
        rows.append(row if point is None else _load_entry(row, point, dist))
    for name in sorted((wanted or set()) - seen):
        problem = f"ANYCLIP_PLUGINS names {name!r}, which is not installed"
        rows.append(PluginRow(name, name, "-", "failed", [problem], mend=f"pip install {name}"))
    _note_clashes(rows)
    return rows


def _entry_points() -> list[tuple[PluginRow, metadata.EntryPoint | None, metadata.Distribution]]:
    """Entry points of the group by distribution name, each with its row; None with a row that already failed.

    Only `entry_points.txt` of the other distributions is read: parsing everybody's metadata takes longer than all the
    rest. A distribution found twice on the path counts once, as it does for `import`.
    """
    seen: set[str] = set()
    found = []
    for dist in metadata.distributions():
        try:
            text = dist.read_text("entry_points.txt")
        except (OSError, UnicodeDecodeError):
            continue
        if not text or not _OUR_SECTION.search(text):
            continue
        name = (dist.metadata["Name"] if dist.metadata else None) or "unknown"
        if canonicalize_name(name) in seen:
            continue
        seen.add(canonicalize_name(name))
        found += _points_of(dist, name)
    return sorted(found, key=lambda item: (item[0].distribution, item[0].name))


def _points_of(dist: metadata.Distribution, name: str) -> list[tuple]:
    try:
        version = dist.metadata["Version"] or "-"
        return [(PluginRow(p.name, name, version), p, dist) for p in dist.entry_points if p.group == GROUP]
    except _FAULTS as error:
        row = PluginRow(name, name, "-")
        _fail(row, f"its entry_points.txt cannot be read: {_describe(error)}", _reinstall(row))
        return [(row, None, dist)]


def _load_entry(row: PluginRow, point: metadata.EntryPoint, dist: metadata.Distribution) -> PluginRow:
    try:
        unmet = unmet_requirements(dist)
    except _FAULTS as error:
        return _fail(row, f"its metadata cannot be read: {_describe(error)}", _reinstall(row))
    if unmet:
        row.status, row.problems = "failed", [reason for reason, _ in unmet]
        row.mend = "; ".join(dict.fromkeys(command for _, command in unmet))
        return row
    try:
        with _quiet_output():
            module = point.load()
    except _FAULTS as error:
        return _fail(row, f"import of {point.value} failed: {_describe(error)}", _reinstall(row))
    return load_module(row, module)


@contextlib.contextmanager
def _quiet_output() -> Iterator[None]:
    """What a plugin prints while it loads goes to stderr: stdout may be read by a program (`--json`)."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def load_module(row: PluginRow, module: object) -> PluginRow:
    """Find the hooks of one plugin through pluggy and consume them one at a time; fills and returns `row`."""
    manager = pluggy.PluginManager(GROUP)  # without our hookspecs: one wrong hook must not hide the others
    try:
        manager.register(module, row.name)
        callers = {caller.name: caller for caller in manager.get_hookcallers(module) or ()}
    except _FAULTS as error:
        return _fail(row, f"its hooks cannot be read: {_describe(error)}", _report(row))
    for name in sorted(set(callers) - set(HOOKS)):
        _problem(row, f"unknown hook {name!r}. {did_you_mean(name, HOOKS, noun='Hooks')}")
    for hook, kind in HOOKS.items():
        for implementation in callers[hook].get_hookimpls() if hook in callers else ():
            _consume(row, hook, kind, implementation.function)
    if not row.parts and not row.problems:
        _problem(row, "registers nothing: no hook of it yields a spec")
    if row.problems:
        row.status = "partial" if row.parts else "failed"
        row.mend = _report(row)
    return row


def _consume(row: PluginRow, hook: str, kind: str, function: Callable) -> None:
    try:
        parameters = inspect.signature(function).parameters.values()
        asked = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if asked:
            _problem(row, f"wrong signature: {hook}({', '.join(asked)}); this hook takes no arguments")
            return
        with _quiet_output():
            for spec in function() or ():
                problem = _spec_problem(hook, kind, spec)
                if problem:
                    _problem(row, problem)
                else:
                    row.parts.append(Part(spec, row.distribution, row.version))
    except _FAULTS as error:
        _problem(row, f"{hook} failed: {_describe(error)}")


def _spec_problem(hook: str, kind: str, spec: object) -> str | None:
    wanted = SPEC_TYPES[kind]
    if not isinstance(spec, wanted):
        return f"{hook} yielded {type(spec).__name__}; it takes {wanted.__name__}"
    assert isinstance(spec, Spec)
    name = spec.name
    if isinstance(spec, TowerSpec):
        if not isinstance(name, str) or not _TOWER_NAME.fullmatch(name):
            return f"bad tower name {name!r}: towers are <modality>/<name> in lower case"
    elif not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"bad {kind} name {name!r}: lower-case letters, digits, '_', '-', '.'"
    if not (kind == "modality" and not spec.target) and not _is_target(spec.target):
        return f"{kind} {name!r}: target {spec.target!r} is not module:Attribute"
    if spec.options is not None and not _is_target(spec.options):
        return f"{kind} {name!r}: options {spec.options!r} is not module:Class"
    return None


def _is_target(text: object) -> bool:
    return isinstance(text, str) and _TARGET.fullmatch(text) is not None


def _note_clashes(rows: list[PluginRow]) -> None:
    """Tell every plugin of a clash; the core's row stays clean, as it was there first."""
    owners: dict[tuple[str, str], list[PluginRow]] = {}
    for row in rows:
        for part in row.parts:
            owners.setdefault((part.spec.kind, part.spec.name), []).append(row)
    for (kind, name), found in owners.items():
        for row in found if len(found) > 1 else ():
            if row.distribution == "anyclip":
                continue
            others = ", ".join(sorted({r.distribution for r in found if r is not row})) or row.distribution
            text = f"{kind} {name!r} is also in {others}"
            if text not in row.problems:
                _problem(row, text)
                row.mend = row.mend or f"use the qualified name {row.distribution}:{name}"


def _reinstall(row: PluginRow) -> str:
    return f"pip install --upgrade --force-reinstall {row.distribution}"


def _report(row: PluginRow) -> str:
    return f"report it to the author of {row.distribution}; pip uninstall {row.distribution} silences it"


def _fail(row: PluginRow, problem: str, mend: str) -> PluginRow:
    row.status, row.mend = "failed", mend
    row.problems.append(problem)
    return row


def _problem(row: PluginRow, text: str) -> None:
    row.status = "partial"
    row.problems.append(text)


def _describe(error: BaseException) -> str:
    """`ImportError: ... (file.py:3)`: the exception and the plugin line it came from."""
    ours = (__file__, "<frozen", os.path.dirname(importlib.__file__))
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(ours)]
    where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"
