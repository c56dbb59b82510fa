"""Import what specs point to, each module in a process of its own: a crash there costs only its own line."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from anyclip.registry.registry import Part, missing_modules
from anyclip.specs import ModalitySpec

_FUNCTIONS = ("decode", "content_key", "preview", "synthetic")  # what a ModalitySpec points to beside its target


def probe(parts: Iterable[Part], *, timeout: float = 300.0, parallel: int = 2) -> dict[str, list[str]]:
    """Import the targets and options of parts. Returns problems per `kind name`; [] is fine.

    Parts whose optional modules are not installed are left out.

    timeout: seconds for one module. parallel: processes at a time.
    """
    found: dict[str, list[str]] = {}
    modules: dict[str, list[tuple[str, str]]] = {}  # module -> (`kind name`, target)
    light: set[str] = set()  # options: read by commands that must not load torch
    for part in parts:
        label = f"{part.spec.kind} {part.qualified}"
        if missing_modules(part.spec):
            continue
        found[label] = []
        for target in _targets(part):
            modules.setdefault(target.partition(":")[0], []).append((label, target))
        light |= {part.spec.options} if part.spec.options else set()
    with ThreadPoolExecutor(parallel) as pool:
        results = pool.map(lambda module: _probe_one(module, modules[module], light, timeout), modules)
        for module, problems in zip(list(modules), results):
            for label, target in modules[module]:
                found[label] += [text for at, text in problems if at in (target, "")]
    return found


def _targets(part: Part) -> list[str]:
    spec = part.spec
    targets = [spec.options, spec.target]
    if isinstance(spec, ModalitySpec):
        targets += [getattr(spec, name) for name in _FUNCTIONS]
    return [target for target in targets if target]


def _probe_one(module: str, wanted: list[tuple[str, str]], light: set[str], timeout: float) -> list[tuple[str, str]]:
    """(target, problem) of one module; target "" is about all of it."""
    targets = sorted({target for _, target in wanted})
    flag = "--light" if light.issuperset(targets) else "--any"
    command = [sys.executable, "-m", "anyclip.registry.probe", flag, *targets]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return [("", f"importing {module} took more than {timeout:g} s")]
    with contextlib.suppress(ValueError, IndexError):
        return [tuple(item) for item in json.loads(done.stdout.splitlines()[-1])]
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return [("", f"importing {module} ended its process with code {done.returncode}: {last}")]


def _report(flag: str, targets: list[str]) -> list[tuple[str, str]]:
    """Inside the process: import each target and say what is wrong; `--light`: they must not load torch."""
    from anyclip.errors import UserError
    from anyclip.registry.registry import resolve

    problems: list[tuple[str, str]] = []
    for target in targets:
        try:
            with contextlib.redirect_stdout(sys.stderr):
                resolve(target)
        except UserError as error:
            problems.append((target, " ".join(filter(None, (error.message, error.hint)))))
    if flag == "--light" and "torch" in sys.modules:
        problems.append(("", "its options load torch: keep them in a module that does not"))
    return problems


if __name__ == "__main__":
    print(json.dumps(_report(sys.argv[1], sys.argv[2:])))
