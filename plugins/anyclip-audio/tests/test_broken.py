"""Every file of the shared folder of broken sounds, as its list says: through a training run, then `anyclip embed`."""

from __future__ import annotations

import json
import warnings

import pytest
from anyclip_audio.decode import SoundWarning

from .cases import CASES
from .conftest import clip, encoded, expected_sounds


@pytest.fixture
def run(broken, tmp_path):
    """(run folder, warnings, expected rows): two steps over every file and as many good ones."""
    from anyclip.cli import main

    expected = expected_sounds()
    rows = [{"audio": str(broken / row["file"]), "text": f"sound {i}"} for i, row in enumerate(expected)]
    for i in range(len(rows)):
        path = tmp_path / f"good-{i}.wav"
        path.write_bytes(encoded(clip(1.0, seed=i)))
        rows.append({"audio": str(path), "text": f"good sound {i}"})
    table = tmp_path / "table.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    name, options = CASES["pann"]
    text = {"embed_dim": 8, "text_cfg": {"context_length": 16, "width": 16, "heads": 2, "layers": 1}}
    data = [{"name": "manifest", "options": {"path": str(table)}}]
    config = {
        "model": {
            "dim": 8,
            "towers": {
                "audio": {"name": name, "options": options},
                "text": {"name": "text/open_clip", "options": {"model": text, "tokenizer": "bytes"}},
            },
        },
        "objectives": [{"pair": ["audio", "text"]}],
        "data": {"train": data, "batch_size": len(rows), "workers": 0, "max_bad": 0.6},
        "train": {"steps": 2, "threads": 1, "out": str(tmp_path / "run"), "log_every": 1},
    }
    path = tmp_path / "broken.yaml"
    path.write_text(json.dumps(config))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert main.run(["train", str(path), "--quiet"]) == 0
    heard = {str(w.message) for w in caught if w.category is SoundWarning}
    return tmp_path / "run", heard, expected


def is_good(row: dict) -> bool:
    return row["expect"].startswith("ok")


def test_the_broken_files_through_training_and_embed(run, broken, tmp_path, capfd):
    import pyarrow.parquet as parquet

    from anyclip.cli import main

    folder, heard, expected = run
    bad = {row["file"].rpartition("/")[2] for row in expected if not is_good(row)}
    noted = [json.loads(line) for line in (folder / "quarantine.jsonl").read_text().splitlines()]
    named = {name for name in bad for note in noted if name in note["reason"] and note["stream"] == "audio"}
    assert named == bad
    assert len(noted) == len(bad)
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if "loss" in record]
    assert len(losses) == 2
    assert all(0 < loss < 20 for loss in losses)
    assert [record["bad"] for record in records if "loss" in record] == [len(bad), 2 * len(bad)]
    assert any("overdriven.wav: overdriven: samples up to" in message for message in heard)

    table = tmp_path / "sounds.parquet"
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        code = main.run(["embed", str(folder), str(broken / "audio"), "-o", str(table)])
    err = capfd.readouterr().err
    assert code == 1
    assert f"{len(bad)} of {len(expected)} values could not be embedded" in err
    rows = parquet.read_table(table).to_pylist()
    assert {row["id"].rpartition("/")[2] for row in rows} == {
        row["file"].rpartition("/")[2] for row in expected if is_good(row)
    }
    for row in rows:
        assert sum(x * x for x in row["vector"]) == pytest.approx(1.0, abs=1e-5)  # also finite
    for name in bad:
        (line,) = [line for line in err.splitlines() if name in line]
        assert line.count(name) == 1, line
        assert line.partition(f"{name}: ")[2], line
    assert any("overdriven.wav: overdriven" in str(w.message) for w in caught)
