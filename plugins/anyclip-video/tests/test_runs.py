"""Whole runs: odd files through training and `anyclip embed`, pictures and sound of one file, parts of a film."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from anyclip_video.synthetic import render
from anyclip_video.writing import write_video

from anyclip.readers.drawing import generator
from anyclip.readers.scenes import Scene

from .conftest import expected_videos, numbered

_VIT = {"image_size": 32, "patch_size": 16, "width": 16, "layers": 1, "head_width": 8}
_TEXT = {"embed_dim": 8, "text_cfg": {"context_length": 16, "width": 16, "heads": 2, "layers": 1}}
_FRAME = {"name": "image/open_clip", "options": {"model": {"embed_dim": 8, "vision_cfg": _VIT}}}
VIDEO = {"name": "video/frames", "options": {"frame": _FRAME, "frames": 3}}
TEXT = {"name": "text/open_clip", "options": {"model": _TEXT, "tokenizer": "bytes"}}
AUDIO = {
    "name": "audio/pann",
    "options": {
        "size": "cnn10",
        "channels": [8, 8, 8],
        "sample_rate": 16_000,
        "n_mels": 32,
        "hop": 320,
        "seconds": 1.5,
    },
}


def write_table(folder: Path, rows: list[dict]) -> str:
    path = folder / "table.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def train(folder: Path, table: str, rows: int, towers: dict, pairs: list, **data) -> Path:
    """Two steps of a run; the run's folder."""
    from anyclip.cli import main

    config = {
        "model": {"dim": 8, "towers": towers},
        "objectives": [{"pair": pair} for pair in pairs],
        "data": {"train": [{"name": "manifest", "options": {"path": table}}], "batch_size": rows, "workers": 0, **data},
        "train": {"steps": 2, "threads": 1, "out": str(folder / "run"), "log_every": 1},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))
    assert main.run(["train", str(path), "--quiet"]) == 0
    return folder / "run"


def losses(run: Path) -> list[dict]:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if "loss" in record]


def is_good(row: dict) -> bool:
    """A file with flipped bytes in the middle may decode to wrong pixels; the decoders here see that it is damaged."""
    return row["expect"].startswith("ok") and "corrupt" not in row["file"]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_the_broken_files_through_training_and_embed(broken, tmp_path, capfd, workers):
    import pyarrow.parquet as parquet

    from anyclip.cli import main

    expected = expected_videos()
    files = [str(broken / row["file"].split("/")[1]) for row in expected]
    rows = [{"video": file, "text": f"video {i}"} for i, file in enumerate(files)]
    run = train(
        tmp_path, write_table(tmp_path, rows), len(rows), {"video": VIDEO, "text": TEXT}, [["video", "text"]],
        max_bad=0.6, workers=workers,
    )  # fmt: skip
    bad = {file for file, row in zip(files, expected) if not is_good(row)}
    noted = [json.loads(line) for line in (run / "quarantine.jsonl").read_text().splitlines()]
    assert {file for file in bad if any(note["reason"].startswith(f"{file}: ") for note in noted)} == bad
    assert len(noted) == len(bad)
    assert [record["bad"] for record in losses(run)] == [len(bad), 2 * len(bad)]
    assert all(0 < record["loss"] < 20 for record in losses(run))

    table = tmp_path / "videos.parquet"
    assert main.run(["embed", str(run), *files, "-o", str(table)]) == 1
    err = capfd.readouterr().err
    assert all(file in err for file in bad)
    assert parquet.read_table(table).num_rows == len(files) - len(bad)


def test_the_real_videos_through_embed(real, tmp_path):
    import pyarrow.parquet as parquet

    from anyclip.cli import main

    lines = (real / "manifest.jsonl").read_text().splitlines()
    rows = [{**json.loads(line), "video": str(real / json.loads(line)["video"])} for line in lines]
    small = [row for row in rows if row["id"] != "bigbuckbunny"]  # 720p: another test's
    table = write_table(tmp_path, small)
    run = train(tmp_path, table, len(small), {"video": VIDEO, "text": TEXT}, [["video", "text"]])
    out = tmp_path / "videos.parquet"
    assert main.run(["embed", str(run), *[row["video"] for row in small], "-o", str(out)]) == 0
    assert parquet.read_table(out).num_rows == len(small)


def test_video_sound_and_text_of_one_file_in_one_run(tmp_path):
    """Both columns name the same mp4; a file without a sound track lacks the audio of its row, and is counted."""
    pytest.importorskip("anyclip_audio")
    rows = []
    for i in range(4):
        scene = Scene({"colour": ("red", "blue")[i % 2], "motion": "growing", "pitch": ("low", "high")[i // 2]})
        file = tmp_path / f"{i}.mp4"
        file.write_bytes(render(scene, generator("clip", i), sound=True, size=32).data)
        rows.append({"video": file.name, "audio": file.name, "text": scene.describe()})
    (tmp_path / "mute.mp4").write_bytes(write_video(numbered(8), 8.0))
    rows.append({"video": "mute.mp4", "audio": "mute.mp4", "text": "no sound"})
    run = train(
        tmp_path, write_table(tmp_path, rows), len(rows), {"video": VIDEO, "audio": AUDIO, "text": TEXT},
        [["video", "text"], ["audio", "text"], ["video", "audio"]], max_bad=0.5,
    )  # fmt: skip
    noted = [json.loads(line) for line in (run / "quarantine.jsonl").read_text().splitlines()]
    assert [(note["stream"], "mute.mp4" in note["reason"]) for note in noted] == [("audio", True)]
    first = losses(run)[0]
    assert all(0 < value < 20 for key, value in first.items() if key.startswith("loss"))
    assert first["bad"] == 1


def test_sound_and_pictures_of_a_real_file(real, tmp_path):
    pytest.importorskip("anyclip_audio")
    bunny = str(real / "bigbuckbunny.mp4")
    scene = tmp_path / "scene.mp4"
    scene.write_bytes(render(Scene({"motion": "moving up"}), generator("clip"), sound=True, size=32).data)
    rows = [{"video": file, "audio": file, "text": f"clip {i}"} for i, file in enumerate((bunny, str(scene)))]
    run = train(
        tmp_path, write_table(tmp_path, rows), 2, {"video": VIDEO, "audio": AUDIO, "text": TEXT},
        [["video", "text"], ["audio", "text"], ["video", "audio"]],
    )  # fmt: skip
    assert losses(run)[-1]["bad"] == 0


def test_parts_of_one_film_are_rows_of_a_manifest(long_video, tmp_path):
    name = Path(long_video).name
    (tmp_path / name).write_bytes(Path(long_video).read_bytes())
    rows = [{"video": {"path": name, "start": 5 * i, "end": 5 * i + 5}, "text": f"part {i}"} for i in range(5)]
    run = train(
        tmp_path, write_table(tmp_path, rows), 5, {"video": VIDEO, "text": TEXT}, [["video", "text"]], max_bad=0.5
    )
    noted = [json.loads(line) for line in (run / "quarantine.jsonl").read_text().splitlines()]
    assert [note["reason"].rpartition("/")[2] for note in noted] == [
        f"{name}: the part 20 s to 25 s is not in it: it has 20.000 s"
    ]
