"""`anyclip embed` and `anyclip search`, end to end."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import anyclip
from anyclip.api import nearest
from anyclip.api.table import EmbeddingTable
from anyclip.cli.main import run


@pytest.fixture
def table(folder, files, tmp_path, capsys):
    out = tmp_path / "toys.parquet"
    assert run(["embed", str(folder), str(tmp_path / "toys"), "-o", str(out), "--stream", "left"]) == 0
    assert "12 vectors of 6 numbers" in capsys.readouterr().err
    return out


def test_table_holds_what_embed_gives(table, folder, files):
    read = pq.read_table(table)
    assert read.column_names == ["id", "modality", "stream", "value", "vector"]
    assert str(read.schema.field("vector").type) == "fixed_size_list<element: float>[6]"
    assert set(read["id"].to_pylist()) == set(files)
    assert set(read["stream"].to_pylist()) == {"left"}
    vectors = EmbeddingTable(table).vectors
    expected = anyclip.load(folder).embed(left=read["id"].to_pylist())["left"].numpy()
    assert np.abs(vectors - expected).max() < 1e-6


def test_search_finds_the_file_itself_through_another_stream(table, files, capsys):
    assert run(["search", str(table), files[5], "--stream", "right", "-k", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [len(found), found[0]["id"]] == [3, files[5]]
    assert found[0]["score"] == pytest.approx(1, abs=1e-5)
    assert run(["search", str(table), files[5], "--stream", "left", "-k", "2"]) == 0
    assert files[5] in capsys.readouterr().out.splitlines()[1]


def test_large_tables_go_through_an_index_that_follows_the_table(table, folder, files, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(nearest, "LARGE", 5)
    arguments = ["search", str(table), files[5], "--stream", "left", "-k", "4", "--json"]
    assert run([*arguments, "--exact"]) == 0
    exact = [row["id"] for row in json.loads(capsys.readouterr().out)]
    assert not nearest.index_path(table).exists()
    assert run(arguments) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == exact
    assert nearest.index_path(table).exists()
    assert run(["embed", str(folder), *files[:7], "-o", str(table), "--stream", "left", "--quiet"]) == 0
    assert run(arguments) == 0  # an index of 12 rows would name rows that are gone
    assert len(json.loads(capsys.readouterr().out)) == 4


def test_without_usearch_a_large_table_is_still_searched(table, files, monkeypatch, capsys):
    monkeypatch.setattr(nearest, "LARGE", 5)
    monkeypatch.setattr(nearest, "has_usearch", lambda: False)
    assert run(["search", str(table), files[5], "--stream", "left", "--json"]) == 0
    captured = capsys.readouterr()
    assert "anyclip[search]" in captured.err
    assert json.loads(captured.out)[0]["id"] == files[5]


def test_vectors_of_another_model_are_refused(table, folder, files, tmp_path, capsys):
    other = anyclip.load(folder)
    other.joint.projection("left").weight.data += 1
    other.save(tmp_path / "other")
    assert run(["search", str(table), files[0], "--stream", "left", "--model", str(tmp_path / "other")]) == 2
    assert "another model" in capsys.readouterr().err


def test_bad_files_are_named_and_end_with_code_1(folder, files, tmp_path, capsys):
    bad = tmp_path / "bad.toy.npy"
    bad.write_bytes(b"no vector")
    arguments = ["embed", str(folder), files[0], str(bad), "-o", str(tmp_path / "t.parquet"), "--stream", "left"]
    assert run(arguments) == 1
    error = capsys.readouterr().err
    assert f"{bad}: not a vector" in error
    assert "1 of 2 values could not be embedded" in error
    assert run([*arguments, "--skip-bad"]) == 0
    assert len(EmbeddingTable(tmp_path / "t.parquet")) == 1


def test_manifest_rows(folder, files, tmp_path, capsys):
    manifest = tmp_path / "rows.jsonl"
    manifest.write_text(
        "".join(json.dumps({"file": f, "right": f}) + "\n" for f in files[:4]) + '{"file": "gone.npy"}\n'
    )
    out = tmp_path / "m.parquet"
    assert run(["embed", str(folder), "--manifest", str(manifest), "--field", "left=file", "-o", str(out)]) == 1
    read = EmbeddingTable(out)
    assert sorted(read.streams) == ["left"] * 4 + ["right"] * 4
    assert read.ids[0].endswith("rows.jsonl:1")
    assert "gone.npy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.toy.npy"], "there is no such file"),
        (["{model}/config.yaml"], "no modality of the model claims the suffix"),
        (["{model}"], "holds no file that the model embeds"),
        (["{file}"], "the streams left and right are both toy"),
        (["{file}", "--stream", "lefd"], "Did you mean left"),
        (["{file}", "--modality", "smell"], "the model has no modality 'smell'"),
        ([], "nothing to embed"),
    ],
)
def test_mistakes(folder, files, tmp_path, arguments, message, capsys):
    filled = [a.format(model=folder, file=files[0]) for a in arguments]
    assert run(["embed", str(folder), *filled, "-o", str(tmp_path / "t.parquet")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "t.parquet").exists()


def test_a_table_of_somebody_else(tmp_path, capsys):
    import pyarrow as pa

    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    assert run(["search", str(tmp_path / "x.parquet"), "a"]) == 2
    assert "was not written by `anyclip embed`" in capsys.readouterr().err
