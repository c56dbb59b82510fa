"""A hook, a field of a spec, a method that plugins write, or an argument, without a word about it fails."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

from anyclip import hookspecs
from anyclip.config.describe import describe_dataclass
from anyclip.hookspecs import HOOKS
from anyclip.registry.registry import resolve
from anyclip.specs import SPEC_TYPES
from anyclip.testing.conformance import CHECKS

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)
PAGE = (ROOT / "docs" / "hooks.md").read_text()
INTERFACES = [target for targets in generate.INTERFACES.values() for target in targets]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_says_when_it_fires_and_what_it_takes(hook):
    function = getattr(hookspecs, hook)
    text = inspect.getdoc(function)
    assert re.search(r"imported .*\b(when|with|by|at)\b", text), f"{hook} does not say when its targets are used"
    section = PAGE.partition(f"\n## {hook}\n")[2].partition("\n## ")[0]
    assert f"Signature: `{hook}(" in section
    for argument in inspect.signature(function).parameters:
        assert re.search(rf"\b{argument}\b", text), f"{hook}: {argument} is undocumented"


@pytest.mark.parametrize("kind", SPEC_TYPES)
def test_every_field_of_a_spec_has_a_meaning(kind):
    _, meanings = generate.spec_docs(SPEC_TYPES[kind])
    missing = [f.name for f in describe_dataclass(SPEC_TYPES[kind]) if not meanings.get(f.name)]
    assert not missing, f"{SPEC_TYPES[kind].__name__}: {missing} are undocumented"


def test_every_kind_says_what_its_target_is():
    assert generate.INTERFACES.keys() == SPEC_TYPES.keys()


@pytest.mark.parametrize("target", INTERFACES)
def test_methods_and_arguments_of_an_interface_are_documented(target):
    cls = resolve(target)
    about = generate.own_doc(cls)
    assert about, f"{target} is undocumented"
    for name, method in generate.public_methods(cls):
        if name == "__len__":
            continue
        text = generate.own_doc(method)
        assert text, f"{target}.{name} is undocumented"
        assert f"* `{name}(" in PAGE
        for argument, parameter in inspect.signature(method).parameters.items():
            known = parameter.annotation is not parameter.empty or re.search(rf"\b{argument}\b", text + about)
            assert known or argument in ("self", "cls"), f"{target}.{name}: {argument} is undocumented"


@pytest.mark.parametrize("field", ["decode", "content_key", "preview", "synthetic"])
def test_functions_of_a_modality_say_their_arguments(field):
    _, meanings = generate.spec_docs(SPEC_TYPES["modality"])
    assert re.match(r"`module:function\(\w+.*\)", meanings[field]), meanings[field]


@pytest.mark.parametrize("kind", CHECKS)
def test_every_check_says_what_is_promised(kind):
    names = [check.name for check in CHECKS[kind]]
    assert len(names) == len(set(names))
    for check in CHECKS[kind]:
        assert check.about.endswith("."), check.name
