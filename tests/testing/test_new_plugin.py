"""`anyclip new-plugin`: copies that install, pass their own tests and train."""

from __future__ import annotations

import json
import re

import pytest

from anyclip.cli.main import run
from anyclip.cli.new_plugin import template_folder

COPIES = {
    "new modality": ("wiggle --modality wave", "anyclip-wiggle"),
    "installed modality": ("flat --modality toy", "anyclip-flat"),
    "loss": ("softer --loss", "anyclip-softer"),
    "reader": ("jsonrows --reader", "anyclip-jsonrows"),
}


@pytest.mark.slow
@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_works_at_once(copy, outside, tmp_path):
    arguments, distribution = COPIES[copy]
    told = outside.run(f"anyclip new-plugin {arguments}", cwd=tmp_path)
    assert f"anyclip conformance {distribution}" in told
    folder = tmp_path / distribution
    text = "".join(p.read_text() for p in folder.rglob("*") if p.is_file())
    assert not re.search("my(plugin|modality|tower|loss|reader)|My(Tower|Loss|Reader)|FACTORS", text)
    outside.run("pip install -e .", cwd=folder)
    if copy == "new modality":  # the copies' own tests are the same checks
        reports = json.loads(outside.run(f"anyclip conformance {distribution} --json", cwd=folder))
        assert {report["kind"] for report in reports} == {"modality", "tower"}
        assert all(report["ok"] for report in reports)
    assert "passed" in outside.run("pytest -p no:cacheprovider", cwd=folder)


def test_every_file_of_the_template_is_used():
    layers = {p.relative_to(template_folder()).parts[0] for p in template_folder().rglob("*") if p.is_file()}
    assert layers == {"shared", "tower", "modality", "loss", "reader"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["try"], "a tower has a modality: --modality M"),
        (["try", "--loss", "--modality", "toy"], "a loss has no modality"),
        (["Try_It", "--loss"], "NAME 'Try_It' cannot be"),
        (["infonce", "--loss"], "there is a loss 'infonce' already"),
        (["mlp", "--modality", "toy"], "there is a tower 'toy/mlp' already"),
    ],
)
def test_mistakes_are_named(arguments, words, tmp_path, capsys):
    assert run(["new-plugin", *arguments, "--into", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_left_alone(tmp_path, capsys):
    (tmp_path / "anyclip-try").mkdir()
    (tmp_path / "anyclip-try" / "mine.txt").write_text("mine")
    assert run(["new-plugin", "try", "--loss", "--into", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "anyclip-try").iterdir()] == ["mine.txt"]


def test_a_modality_that_is_nearly_an_installed_one_is_mentioned(tmp_path, capsys):
    assert run(["new-plugin", "try", "--modality", "toi", "--into", str(tmp_path)]) == 0
    assert "an installed one is called toy" in capsys.readouterr().out
