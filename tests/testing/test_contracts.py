"""The contract classes as an author uses them, and `pytest --conformance`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SUITE = """
from typing import ClassVar
from anyclip.testing import LossContract, ModalityContract, ReaderContract, TowerContract

class TestPlain(TowerContract):
    name = "toy/mlp"

class TestCases(TowerContract):
    cases: ClassVar = {{"narrow": ("toy/mlp", {{"width": 4}}), "deep": ("toy/mlp", {{"depth": 3}})}}
    promises = ("exports",)

    def exempt_in(self, case):
        return {{"copies": "tried elsewhere"}} if case == "deep" else {{}}

class TestOverridden(LossContract):
    name = "siglip"
    cases: ClassVar = {{"plain": {{}}}}

    def test_repeats(self):
        pass

class TestReader(ReaderContract):
    name = "manifest"

    def example(self, folder):
        (folder / "t.csv").write_text("a,b\\n1,2\\n3,4\\n")
        return {{"path": str(folder / "t.csv")}}

class TestModality(ModalityContract):
    name = "toy"
{more}
"""
WRONG = """
class TestWrong(TowerContract):
    name = "toy/mlp"
    exempt: ClassVar = {"padding_ignored": "no padding"}
"""


def run(folder, *arguments: str, more: str | None = None):
    if more is not None:
        (folder / "test_parts.py").write_text(SUITE.format(more=more))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", *arguments]
    environment = {**os.environ, "ANYCLIP_PLUGINS": "anyclip"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)


def test_authors_get_every_check(tmp_path):
    done = run(tmp_path, "-v", more="")
    assert done.returncode == 0, done.stdout[-3000:]
    for line in (
        "TestPlain::test_rows_are_independent PASSED",
        "TestPlain::test_exports PASSED",  # promised by the spec
        "TestCases::test_exports[narrow] PASSED",
        "TestCases::test_compiles[deep] SKIPPED",
        "TestCases::test_copies[narrow] PASSED",
        "TestCases::test_copies[deep] SKIPPED",
        "TestOverridden::test_repeats PASSED",
        "TestReader::test_access_is_random PASSED",
        "TestModality::test_scenes_are_rendered PASSED",
    ):
        assert line in done.stdout
    assert "exempt: tried elsewhere" in done.stdout
    assert "not promised; `anyclip conformance toy/mlp` tries it" in done.stdout


def test_an_exemption_that_names_no_check_is_refused(tmp_path):
    done = run(tmp_path, "-k", "TestWrong and finite", more=WRONG)
    assert "exempt names no check: 'padding_ignored'. Did you mean padding_is_ignored?" in done.stdout


def test_an_installed_package_is_tried_without_test_code(tmp_path):
    done = run(tmp_path, "-v", "--conformance", "infonce", "--conformance", "manifest")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "conformance/infonce::loss infonce: shares_add_up PASSED" in done.stdout
    assert "conformance/manifest::reader manifest: access_is_random PASSED" in done.stdout


@pytest.mark.parametrize("name", ["TowerContract", "LossContract", "ReaderContract", "ModalityContract"])
def test_the_classes_come_from_the_package(name):
    import anyclip.testing

    assert getattr(anyclip.testing, name).__name__ == name
    with pytest.raises(AttributeError, match="NoContract"):
        anyclip.testing.NoContract  # noqa: B018


def test_the_kit_needs_no_pytest():
    code = "import sys; sys.modules['pytest'] = None; import anyclip.testing.conformance, anyclip.cli.conformance"
    subprocess.run([sys.executable, "-c", code], check=True)
