"""Items of every stream, searched by a value of any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import anyclip
from anyclip.api.gallery import Gallery, open_gallery
from anyclip.cli.demo_page import answer, by_file, by_item, by_value, first_view
from anyclip.cli.main import run
from anyclip.config.schema import SourceConfig
from anyclip.errors import UserError


@pytest.fixture
def gallery(folder: Path, files: list[str], tmp_path: Path) -> Gallery:
    """Twelve toys on either side, one of them broken."""
    Path(files[5]).write_bytes(b"nothing")
    table = tmp_path / "table.csv"
    table.write_text("left,right\n" + "".join(f"{f},{f}\n" for f in files))
    model = anyclip.load(folder)
    model.config.data.val.append(SourceConfig(name="manifest", options={"path": str(table)}))
    return Gallery.of_run(model)


def test_the_nearest_of_every_stream(gallery: Gallery, files: list[str]):
    found = gallery.search("left", files[3], 4)
    assert list(found) == ["left", "right"]
    for items in found.values():
        assert [len(items), items[0].score] == [4, pytest.approx(1.0, abs=1e-5)]  # both streams have equal weights
        assert items[0].preview.startswith("<code>")
        assert sorted((f.score for f in items), reverse=True) == [f.score for f in items]
    assert len(gallery.bad) == 2  # the broken toy, on either side
    assert gallery.bad[0][0] == "table.csv:7"
    assert found["left"][0].name == files[3]


def test_what_cannot_be_searched_is_an_error(gallery: Gallery, files: list[str]):
    with pytest.raises(UserError, match=r"05\.toy\.npy: cannot be embedded"):
        gallery.search("left", files[5])
    with pytest.raises(UserError, match="no stream 'middle'"):
        gallery.search("middle", files[0])


def test_a_run_without_validation_data_says_what_to_do(folder: Path):
    with pytest.raises(UserError, match="anyclip demo TABLE"):
        open_gallery(folder)


def test_a_table_is_a_gallery(folder: Path, files: list[str], tmp_path: Path):
    out = tmp_path / "toys.parquet"
    assert run(["embed", str(folder), *files, "--stream", "left", "-o", str(out), "--quiet"]) == 0
    found = open_gallery(out).search("right", files[2], 3)
    assert list(found) == ["left"]
    assert found["left"][0].name == files[2]


def test_limits_count_per_stream(gallery: Gallery):
    small = Gallery.of_run(gallery.model, limit=3)
    assert {stream: len(rows) for stream, rows in small.rows.items()} == {"left": 3, "right": 3}


def test_the_answers_of_the_page(gallery: Gallery, files: list[str], tmp_path: Path):
    assert first_view(gallery).count("<figure") == 8
    assert "Type a text or drop a file" in answer(gallery, " ", "", None, None, 3)
    assert "left and right could embed it" in by_file(gallery, files[0], None, 3)
    shown = by_file(gallery, files[0], "right", 3)
    assert shown.count("<figure") == 6
    assert "1.000" in shown
    assert "cannot be embedded" in by_file(gallery, files[5], "left", 3)
    strange = tmp_path / "a<b>.xyz"
    strange.write_text("x")
    assert "a&lt;b&gt;.xyz: no stream" in by_file(gallery, str(strange), None, 3)
    assert by_item(gallery, 2).count("<figure") == 4
    assert "has no stream" in by_value(gallery, "hello", "text", 2)
    assert np.isfinite(gallery.vectors).all()
