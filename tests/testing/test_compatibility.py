"""docs/compatibility.md says what the packages say."""

from __future__ import annotations

import re
from pathlib import Path

import anyclip

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "compatibility.md").read_text()


def test_the_running_version_has_a_row():
    series = ".".join(anyclip.__version__.split(".")[:2])
    assert re.search(rf"^\| {re.escape(series)} \|", PAGE, re.MULTILINE), f"no row for core {series}"


def test_every_official_plugin_has_the_row_it_states():
    stated = {}
    for path in sorted((ROOT / "plugins").glob("anyclip-*/pyproject.toml")):
        text = path.read_text()
        name = re.search(r'^name = "([^"]+)"', text, re.MULTILINE)[1]
        stated[name] = re.search(r'"(anyclip[<>=][^"]*)"', text)[1]
    rows = dict(re.findall(r"^\| (anyclip-\w+) \| `([^`]+)` \|$", PAGE, re.MULTILINE))
    assert stated.items() <= rows.items(), "docs/compatibility.md lacks a row"


def test_what_is_called_public_can_be_imported():
    for name in ("hookspecs", "specs", "errors", "testing", "readers.scenes"):
        __import__(f"anyclip.{name}")
    assert all(hasattr(anyclip, name) for name in dir(anyclip))
