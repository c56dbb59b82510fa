"""The generated pages are what the program says now, and every setting and hook is documented."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from anyclip.config.describe import FieldText, describe_dataclass
from anyclip.config.schema import Config
from anyclip.hookspecs import HOOKS
from anyclip.registry import get_registry

ROOT = Path(__file__).resolve().parents[2]
OFFICIAL = ["anyclip", *(p.name for p in (ROOT / "plugins").glob("anyclip-*"))]
WITH_OPTIONS = [
    (kind, part.qualified)
    for kind in ("tower", "loss", "similarity", "objective", "reader", "evaluation", "importer", "logger")
    for part in get_registry().parts(kind)
    if part.spec.options and part.distribution in OFFICIAL
]


def undocumented(fields: Iterable[FieldText], prefix: str = "") -> Iterator[str]:
    for f in fields:
        if not f.doc:
            yield prefix + f.name
        yield from undocumented(f.inner, f"{prefix}{f.name}.")


def test_pages_are_up_to_date():
    done = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_is_documented():
    assert not list(undocumented(describe_dataclass(Config)))


@pytest.mark.parametrize(("kind", "name"), WITH_OPTIONS)
def test_every_option_is_documented(kind, name):
    cls = get_registry().options_class(kind, name)
    assert cls is not None
    assert not list(undocumented(describe_dataclass(cls)))


def test_every_hook_is_documented():
    text = (ROOT / "docs" / "hooks.md").read_text()
    for hook in HOOKS:
        assert f"\n## {hook}\n" in text
