"""Checks of any registered part: cheap to list, importable, documented options."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import fields, is_dataclass
from importlib import metadata
from typing import Any

from anyclip.config.describe import describe_dataclass
from anyclip.errors import UserError
from anyclip.hookspecs import GROUP
from anyclip.registry import get_registry
from anyclip.registry.registry import missing_modules, resolve
from anyclip.testing.kit import Check, Fault, NotApplicable, check

PART: list[Check] = []
HEAVY = ("torch", "torchvision", "torchaudio", "transformers", "timm", "open_clip", "open3d", "librosa", "decord")
HEAVY += ("tensorflow", "jax", "sklearn", "scipy", "cv2", "soundfile", "datasets", "matplotlib", "pandas", "PIL")


@check(PART)
def is_light(subject: Any) -> None:
    """Listing it and reading its options imports nothing heavy."""
    modules = entry_modules(subject.part.distribution)
    if subject.spec.options:
        modules += (subject.spec.options.partition(":")[0],)
    loaded = heavy_imports(modules) if modules else ()
    if loaded:
        raise Fault(
            f"importing {' and '.join(modules)} loads {', '.join(loaded)}: `anyclip plugins` becomes slow.",
            "keep specs and options in modules of their own; import the rest where `target` points",
        )


@check(PART)
def options_are_documented(subject: Any) -> None:
    """Options are a keyword-only dataclass with a docstring under each field; unknown names are refused."""
    cls = get_registry().options_class(subject.kind, subject.part.qualified)
    if cls is None:
        raise NotApplicable("it takes no options")
    if not is_dataclass(cls):
        raise Fault(f"{cls.__name__} is not a dataclass.", "write @dataclass(kw_only=True) above it")
    if not all(f.kw_only for f in fields(cls) if f.init):
        raise Fault(f"{cls.__name__} takes positional arguments.", "write @dataclass(kw_only=True) above it")
    silent = [f.name for f in describe_dataclass(cls) if not f.doc]
    if silent:
        raise Fault(f"options without a meaning: {', '.join(silent)}.", "put a docstring under each field")


@check(PART)
def options_have_defaults(subject: Any) -> None:
    """The defaults and the options of the small instance are valid."""
    registry = get_registry()
    if registry.options_class(subject.kind, subject.part.qualified) is None:
        if subject.options:
            raise Fault(f"takes no options, but `tiny` has {', '.join(subject.options)}.", "name an options class")
        raise NotApplicable("it takes no options")
    tried = [{}, subject.options]
    if subject.kind in ("reader", "importer"):  # these need a path: only the example is tried
        tried = [getattr(subject, "settings", {})]
    if subject.kind == "objective" and not subject.options and _required(subject):
        raise NotApplicable(f"it needs {', '.join(_required(subject))}: which streams, a config says")
    for options in tried:
        try:
            registry.build_options(subject.kind, subject.part.qualified, options)
        except UserError as error:
            which = "the options it is tried with are" if options else "its defaults are"
            raise Fault(f"{which} refused: {error.message}", "give every option a valid default") from error


def _required(subject: Any) -> list[str]:
    cls = get_registry().options_class(subject.kind, subject.part.qualified)
    return [f.name for f in describe_dataclass(cls) if f.default is None] if cls is not None else []


@check(PART)
def target_imports(subject: Any) -> None:
    """What its spec points to exists."""
    missing = missing_modules(subject.spec)
    if missing:
        raise NotApplicable(f"needs {', '.join(missing)}, which is not installed")
    if subject.spec.target:
        try:
            resolve(subject.spec.target, owner=subject.part)
        except UserError as error:
            raise Fault(error.message, error.hint or "correct `target` (module:Attribute)") from error


def entry_modules(distribution: str) -> tuple[str, ...]:
    """Modules that the entry points of a distribution name; () when it is not installed."""
    try:
        points = metadata.distribution(distribution).entry_points
    except metadata.PackageNotFoundError:
        return ()
    return tuple(sorted({p.value.partition(":")[0] for p in points if p.group == GROUP}))


@functools.cache
def heavy_imports(modules: tuple[str, ...]) -> tuple[str, ...]:
    """Which of the heavy packages importing these modules loads, tried in a process of its own."""
    code = (
        "import sys, json; sys.path[:] = json.loads(sys.argv[1]); import importlib\n"
        "for name in json.loads(sys.argv[2]): importlib.import_module(name)\n"
        "print('\\n' + json.dumps([n for n in json.loads(sys.argv[3]) if n in sys.modules]))"
    )
    arguments = [json.dumps(sys.path), json.dumps(modules), json.dumps(HEAVY)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Fault(f"importing {' and '.join(modules)} fails in a fresh process: {last}", "make the module importable")
    return tuple(json.loads(done.stdout.splitlines()[-1]))
