"""The outside plugins of `examples/`: installed as their authors would, their tests pass."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PLUGINS = {"third_party_imu": "anyclip-imu", "third_party_loss": "anyclip-vse"}


@pytest.mark.slow
@pytest.mark.parametrize("name", PLUGINS)
def test_an_outside_plugin_installs_conforms_and_passes_its_tests(name, outside, tmp_path):
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("__pycache__", "runs"))
    outside.run("pip install .", cwd=folder)
    reports = json.loads(outside.run(f"anyclip conformance {PLUGINS[name]} --json", cwd=tmp_path))
    assert reports
    assert all(report["ok"] for report in reports)
    outside.run("anyclip check configs/*.yaml", cwd=folder)
    assert "passed" in outside.run("pytest -p no:cacheprovider", cwd=folder)


# appended, so that a page takes seconds: what it shows is tried, not how good the model is
SMALL = "train.steps=2 schedule.warmup_steps=0 train.validate_every=null train.checkpoint_every=null train.threads=1"
SMALL += " data.train.0.options.size=16 data.val.0.options.size=16 data.batch_size=8 data.workers=0"


@pytest.mark.slow
@pytest.mark.parametrize("name", PLUGINS)
def test_the_commands_of_its_page_run(name, outside, tmp_path):
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("__pycache__", "runs"))
    outside.run("pip install .", cwd=folder)
    (folder / "walks").mkdir()
    for k in range(2):
        rows = [f"{i / 25},{0.1 * i},9.8,0,0,0,{k}" for i in range(50)]
        (folder / "walks" / f"{k}.imu.csv").write_text("t,ax,ay,az,gx,gy,gz\n" + "\n".join(rows) + "\n")
    page = (folder / "README.md").read_text()
    block = re.search(r"^```(?:bash)?\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1]
    lines = [re.sub(r"\s+#.*", "", line) for line in block.splitlines() if line.startswith("anyclip ")]
    lines += re.findall(r"`(anyclip [^`]+)`", page)
    assert len(lines) >= 3
    printed = [
        outside.run(f"{x} {SMALL}" if x.startswith("anyclip train") else x, cwd=folder, errors=True) for x in lines
    ]
    assert all(printed)


@pytest.mark.parametrize("name", PLUGINS)
def test_it_depends_on_the_published_core_alone(name):
    text = (EXAMPLES / name / "pyproject.toml").read_text()
    needs = re.search(r"^dependencies = \[(.*)\]$", text, re.MULTILINE)[1]
    names = {re.match(r"[\w-]+", need.strip('" '))[0] for need in needs.split(", ")}
    assert "anyclip" in names
    assert names <= {"anyclip", "numpy", "torch", "annotated-types"}
    for path in (EXAMPLES / name).rglob("*.py"):
        for module in re.findall(r"^\s*(?:from|import) (anyclip[\w.]*)", path.read_text(), re.MULTILINE):
            assert module.split(".")[0] in ("anyclip", PLUGINS[name].replace("-", "_")), f"{path}: {module}"
