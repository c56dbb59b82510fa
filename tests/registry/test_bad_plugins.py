"""Eight bad plugins installed together: each is one row with its reason and mend, and everything else works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

HEAD = "from anyclip.hookspecs import hookimpl\nfrom anyclip.specs import LossSpec, TowerSpec\n"

BROKEN_IMPORT = HEAD + "import a_module_that_is_not_there\n"
SYSTEM_EXIT = HEAD + "print('good bye')\nraise SystemExit('no licence found')\n"
WRONG_SIGNATURE = HEAD + (
    "@hookimpl\ndef anyclip_losses(registry):\n    yield None\n"
    "@hookimpl\ndef anyclip_towers():\n"
    "    yield TowerSpec(name='smell/nose', target='anyclip.testing.toy:ToyTower', summary='smells')\n"
)
MISSPELT = HEAD + "@hookimpl\ndef anyclip_loses():\n    yield LossSpec(name='x', target='a:B', summary='')\n"
BAD_NAME = HEAD + "@hookimpl\ndef anyclip_towers():\n    yield TowerSpec(name='HTSAT', target='a:B', summary='')\n"
FINE = HEAD + "@hookimpl\ndef anyclip_losses():\n    yield LossSpec(name='{0}', target='a:B', summary='')\n"


@pytest.fixture
def eight(shelf):
    shelf.install_good()
    shelf.install("anyclip-broken", BROKEN_IMPORT)
    shelf.install("anyclip-exits", SYSTEM_EXIT)
    shelf.install("anyclip-signature", WRONG_SIGNATURE)
    shelf.install("anyclip-misspelt", MISSPELT)
    shelf.install("anyclip-badname", BAD_NAME)
    shelf.install("anyclip-old", FINE.format("old"), headers="Requires-Dist: anyclip<0.1")
    shelf.install(
        "anyclip-needy", FINE.format("needy"), headers='Requires-Dist: open3d-not-there>=0.18; python_version>"3"'
    )
    shelf.install("anyclip-clash", FINE.format("infonce"))
    return shelf


def anyclip(shelf, *arguments: str, code: int = 0, **env: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(shelf.folder), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "anyclip", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **env},
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    return done


REASONS = {
    "broken": (
        "failed",
        "import of anyclip_broken failed: ModuleNotFoundError: No module named 'a_module_that_is_not_there' "
        "(anyclip_broken.py:3)",
        "pip install --upgrade --force-reinstall anyclip-broken",
    ),
    "exits": (
        "failed",
        "import of anyclip_exits failed: SystemExit: no licence found (anyclip_exits.py:4)",
        "pip install --upgrade --force-reinstall anyclip-exits",
    ),
    "signature": (
        "partial",
        "wrong signature: anyclip_losses(registry); this hook takes no arguments",
        "report it to the author of anyclip-signature; pip uninstall anyclip-signature silences it",
    ),
    "misspelt": (
        "failed",
        "unknown hook 'anyclip_loses'. Did you mean anyclip_losses?",
        "report it to the author of anyclip-misspelt; pip uninstall anyclip-misspelt silences it",
    ),
    "badname": (
        "failed",
        "bad tower name 'HTSAT': towers are <modality>/<name> in lower case",
        "report it to the author of anyclip-badname; pip uninstall anyclip-badname silences it",
    ),
    "old": (
        "failed",
        "needs anyclip<0.1, but anyclip 0.1.0 is installed",
        "pip install --upgrade anyclip anyclip-old",
    ),
    "needy": (
        "failed",
        "needs open3d-not-there>=0.18, which is not installed",
        'pip install "open3d-not-there>=0.18"',
    ),
    "clash": ("partial", "loss 'infonce' is also in anyclip", "use the qualified name anyclip-clash:infonce"),
}


def test_each_is_one_row_with_reason_and_mend(eight):
    rows = json.loads(anyclip(eight, "plugins", "--json").stdout)
    found = {row["name"]: row for row in rows}
    assert len(found) == len(rows)
    for name, (status, reason, mend) in REASONS.items():
        assert (found[name]["status"], found[name]["problems"], found[name]["mend"]) == (status, [reason], mend)
    assert found["good"]["status"] == found["anyclip"]["status"] == "ok"
    assert [part["name"] for part in found["good"]["parts"]] == ["good"]
    assert [part["name"] for part in found["signature"]["parts"]] == ["smell/nose"]  # its other hook still works


def test_the_table_shows_every_reason(eight):
    text = anyclip(eight, "plugins").stdout
    for name, (_, reason, mend) in REASONS.items():
        assert f"{name}: {reason}\n" in text
        assert f"  mend: {mend}\n" in text


def test_everything_else_works(eight, tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text(
        "model: {towers: {a: toy/mlp, b: smell/nose}}\n"
        "objectives: [{pair: [a, b], loss: good}, {pair: [a, b], loss: anyclip:infonce}]\n"
        "data: {train: [synthetic]}\n"
        "train: {steps: 2}\n"
    )
    assert "fine" in anyclip(eight, "check", str(config)).stdout
    done = anyclip(eight, "check", str(config), "objectives.0.loss=infonce", code=2)
    assert done.stderr.endswith(
        "override objectives.0.loss=infonce: objectives.0.loss: loss 'infonce' comes from anyclip and anyclip-clash. "
        "Name the one you mean: anyclip-clash:infonce or anyclip:infonce.\n"
    )


def test_training_works(eight, tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text(
        "model: {dim: 8, towers: {a: toy/mlp, b: toy/mlp}}\n"
        "objectives: [{pair: [a, b], loss: good}]\n"
        "data: {train: [synthetic], batch_size: 8, workers: 0}\n"
        f"train: {{steps: 2, accelerator: cpu, devices: 1, log_every: 1, out: {tmp_path / 'run'}}}\n"
    )
    anyclip(eight, "train", str(config), "--quiet")
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "loss" in record] == [1, 2]


def test_environment_limits_the_plugins(eight):
    rows = json.loads(anyclip(eight, "plugins", "--json", ANYCLIP_PLUGINS="good,anyclip-clash, gone").stdout)
    assert [row["name"] for row in rows] == ["anyclip", "clash", "good", "gone"]
    assert rows[3]["problems"] == ["ANYCLIP_PLUGINS names 'gone', which is not installed"]
    assert rows[3]["mend"] == "pip install gone"
    rows = json.loads(anyclip(eight, "plugins", "--json", ANYCLIP_PLUGINS="").stdout)
    assert [row["name"] for row in rows] == ["anyclip"]


def test_import_check_runs_targets_apart(eight):
    eight.install("anyclip-crash", HEAD + CRASH)
    (eight.folder / "crasher.py").write_text("import os\nos._exit(7)\n")
    (eight.folder / "heavy_options.py").write_text("import torch\nclass O: ...\n")
    done = anyclip(eight, "plugins", "losses", "--check", code=1, ANYCLIP_PLUGINS="good,crash")
    assert "failed loss anyclip-crash:crash: importing crasher ended its process with code 7" in done.stdout
    assert "failed loss anyclip-crash:lost: gone:B does not import: ModuleNotFoundError" in done.stdout
    assert "failed loss anyclip-crash:heavy: its options load torch: keep them in a module that does not" in done.stdout
    counted = re.search(r"(\d+) of (\d+) parts import", done.stdout)
    assert counted
    assert int(counted[2]) - int(counted[1]) == 3


CRASH = """
@hookimpl
def anyclip_losses():
    yield LossSpec(name='crash', target='crasher:B', summary='')
    yield LossSpec(name='lost', target='gone:B', summary='')
    yield LossSpec(name='heavy', target='anyclip.losses.infonce:InfoNCE', options='heavy_options:O', summary='')
"""
