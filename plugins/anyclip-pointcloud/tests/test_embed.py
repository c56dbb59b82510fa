"""Every file of the shared folder of broken clouds, as its list says: through a training run, then `anyclip embed`."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from anyclip_pointcloud.cloud import PointWarning

from .conftest import cloud, expected_points


@pytest.fixture
def run(broken, tmp_path):
    """(run folder, warnings, expected rows): two steps over every file and as many good ones."""
    pytest.importorskip("anyclip_text")
    from anyclip.cli import main

    expected = expected_points()
    rows = [{"points": str(broken / row["file"]), "text": f"cloud {i}"} for i, row in enumerate(expected)]
    for i in range(len(rows)):
        np.save(tmp_path / f"good-{i}.npy", cloud(100, seed=i))
        rows.append({"points": str(tmp_path / f"good-{i}.npy"), "text": f"good cloud {i}"})
    table = tmp_path / "table.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    points = {"points": 48, "channels": [8, 16], "colors": True, "normals": True, "augment": "strong"}
    text = {"embed_dim": 8, "text_cfg": {"context_length": 16, "width": 16, "heads": 2, "layers": 1}}
    config = {
        "model": {
            "dim": 8,
            "towers": {
                "points": {"name": "pointcloud/pointnet", "options": points},
                "text": {"name": "text/open_clip", "options": {"model": text, "tokenizer": "bytes"}},
            },
        },
        "objectives": [{"pair": ["points", "text"]}],
        "data": {
            "train": [{"name": "manifest", "options": {"path": str(table)}}],
            "batch_size": len(rows),
            "workers": 0,
            "max_bad": 0.6,
        },
        "train": {"steps": 2, "threads": 1, "out": str(tmp_path / "run"), "log_every": 1},
    }
    path = tmp_path / "broken.yaml"
    path.write_text(json.dumps(config))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert main.run(["train", str(path), "--quiet"]) == 0
    said = {str(w.message) for w in caught if w.category is PointWarning}
    return tmp_path / "run", said, expected


def is_good(row: dict) -> bool:
    """The list leaves a choice for some files; this plugin uses them."""
    return not row["expect"].startswith(("clear error", "refused"))


def test_the_broken_files_through_training_and_embed(run, broken, tmp_path, capfd):
    import pyarrow.parquet as parquet

    from anyclip.cli import main

    folder, said, expected = run
    bad = {row["file"].rpartition("/")[2] for row in expected if not is_good(row)}
    noted = [json.loads(line) for line in (folder / "quarantine.jsonl").read_text().splitlines()]
    assert {name for name in bad for note in noted if name in note["reason"] and note["stream"] == "points"} == bad
    assert len(noted) == len(bad)
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if "loss" in record]
    assert len(losses) == 2
    assert all(0 < loss < 20 for loss in losses)
    assert [record["bad"] for record in records if "loss" in record] == [len(bad), 2 * len(bad)]
    assert any("nan_inf.ply: 2 of 2048 points are not finite" in message for message in said)

    table = tmp_path / "clouds.parquet"
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PointWarning)
        code = main.run(["embed", str(folder), str(broken / "points"), "-o", str(table)])
    err = capfd.readouterr().err
    assert code == 1
    assert f"{len(bad)} of {len(expected)} values could not be embedded" in err
    rows = parquet.read_table(table).to_pylist()
    good = {row["file"].rpartition("/")[2] for row in expected if is_good(row)}
    assert {row["id"].rpartition("/")[2] for row in rows} == good
    for row in rows:
        assert sum(x * x for x in row["vector"]) == pytest.approx(1.0, abs=1e-5)  # also finite
    vectors = {row["id"].rpartition("/")[2]: row["vector"] for row in rows}
    assert vectors["big_endian.ply"] == vectors["good.ply"]
    for name in bad:
        (line,) = [line for line in err.splitlines() if name in line]
        assert line.count(name) == 1, line
        assert line.partition(f"{name}: ")[2], line
