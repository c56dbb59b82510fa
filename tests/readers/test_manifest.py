"""The manifest reader: formats, filters, random access, and errors that name the line."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anyclip.errors import BadSample, DataError
from anyclip.readers import Blob, arrow, shared
from anyclip.readers.manifest import ManifestReader
from anyclip.readers.options import ManifestOptions


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def reader(path, **options) -> ManifestReader:
    return ManifestReader(ManifestOptions(path=str(path), **options))


ROWS = [
    {"file": "a.png", "text": "a cat, asleep", "split": "train", "n": 1},
    {"file": "b/c.png", "text": "eine Blüte", "split": "val", "n": 2},
    {"file": "/abs/d.png", "text": 'she said "hi"', "split": "train", "n": 30},
]


@pytest.fixture(params=["csv", "tsv", "jsonl", "parquet"])
def table(request, tmp_path) -> Path:
    path = tmp_path / f"train.{request.param}"
    if request.param == "jsonl":
        return write(path, "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS))
    if request.param == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=2)
        return path
    tab = "," if request.param == "csv" else "\t"
    cells = [list(ROWS[0])] + [[str(v) for v in row.values()] for row in ROWS]
    quoted = [tab.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells]
    return write(path, "\r\n".join(quoted) + "\r\n\r\n")


def test_every_format_gives_the_same_rows(table):
    made = reader(table)
    assert made.columns() == ["file", "text", "split", "n"]
    assert [made[i]["text"] for i in (2, 0, 1)] == [ROWS[i]["text"] for i in (2, 0, 1)]
    assert [int(made.value(i, "n")) for i in range(3)] == [1, 2, 30]
    assert made.locate(made[0]["file"]) == str(table.parent / "a.png")
    assert made.locate(made[2]["file"]) == "/abs/d.png"
    assert made.locate("s3://bucket/x.png") == "s3://bucket/x.png"
    with pytest.raises(IndexError):
        made[3]


def test_where_keeps_rows_and_their_names(table):
    made = reader(table, where='split == "train" and n > 5')
    first = 3 if table.suffix == ".parquet" else 4 if table.suffix in (".csv", ".tsv") else 3
    assert [made[i]["file"] for i in range(len(made))] == ["/abs/d.png"]
    assert made.sample_id(0) == f"{table.name}:{first}"
    with pytest.raises(DataError, match="Did you mean split"):
        reader(table, where='splitt == "train"')
    with pytest.raises(DataError, match="no row is left by where: n > 99"):
        reader(table, where="n > 99")
    with pytest.raises(DataError, match=rf"{table.name}.*where: 'text < 3'"):
        reader(table, where="text < 3")


def test_pickled_readers_read_the_same(table):
    made = reader(table, where='split == "train"')
    again = pickle.loads(pickle.dumps(made))
    assert [dict(again[i]) for i in range(2)] == [dict(made[i]) for i in range(2)]


def test_fingerprint_follows_content_and_options_not_place(table, tmp_path):
    made = reader(table)
    other = tmp_path / "elsewhere"
    other.mkdir()
    copy = Path(shutil.copy(table, other / table.name))
    os.utime(copy, (1, 1))
    assert reader(copy).fingerprint() == made.fingerprint()
    assert reader(table, where="n > 1").fingerprint() != made.fingerprint()
    changed = write(other / "changed.jsonl", json.dumps(ROWS[0]))
    assert reader(changed).fingerprint() != made.fingerprint()


def test_paths_are_relative_to_the_manifest_or_to_root(tmp_path):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "m.jsonl", '{"file": "x/a.png"}')
    options = ManifestOptions(path="data/m.jsonl")
    assert ManifestReader(options, base=str(tmp_path)).locate("x/a.png") == str(tmp_path / "data/x/a.png")
    options = ManifestOptions(path="data/m.jsonl", root="pictures")
    assert ManifestReader(options, base=str(tmp_path)).locate("a.png") == str(tmp_path / "pictures/a.png")


def test_remote_manifest(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://set/train.jsonl", "wb") as file:
        file.write(b'{"file": "a.png"}\n{"file": "../b.png"}\n')
    made = reader("memory://set/train.jsonl")
    assert [made.locate(made[i]["file"]) for i in range(2)] == ["memory://set/a.png", "memory://b.png"]
    assert made.sample_id(1) == "train.jsonl:2"
    with pytest.raises(DataError, match=r"memory://set/gone.jsonl: not found"):
        reader("memory://set/gone.jsonl")


def test_lists_stay_lists(tmp_path):
    row = '{"text": ["a", "b"], "vector": [1.5, 2], "none": []}'
    assert reader(write(tmp_path / "m.jsonl", row))[0] == {"text": ["a", "b"], "vector": [1.5, 2], "none": []}
    made = reader(write(tmp_path / "m.csv", "text,n\na | b,1\nc,2\n"), list_separator="|")
    assert [made[i]["text"] for i in range(2)] == [["a", "b"], "c"]


def test_csv_cells_with_line_breaks_keep_offsets_and_lines(tmp_path):
    made = reader(write(tmp_path / "m.csv", 'file,text\na.png,"two\nlines"\n\nb.png,"a ""quoted"" word"\nc.png,\n'))
    assert [made[i]["text"] for i in (2, 1, 0)] == [None, 'a "quoted" word', "two\nlines"]
    assert [made.sample_id(i) for i in range(3)] == ["m.csv:2", "m.csv:5", "m.csv:6"]


def test_a_cell_longer_than_the_csv_module_allows(tmp_path):
    text = "word " * 40_000
    assert reader(write(tmp_path / "m.csv", f"file,text\na,{text}\n"))[0]["text"] == text


def test_parquet_bytes_are_blobs(tmp_path):
    table = pa.table(
        {"raw": [b"ab"], "image": [{"bytes": b"xy", "path": "1.png"}], "far": [{"bytes": None, "path": "2.png"}]}
    )
    pq.write_table(table, tmp_path / "m.parquet")
    row = reader(tmp_path / "m.parquet")[0]
    assert (row["raw"], row["image"], row["far"]) == (Blob(b"ab", "raw"), Blob(b"xy", "1.png"), "2.png")


def test_large_parquet_is_mapped_and_pickles_small(tmp_path, monkeypatch):
    monkeypatch.setattr(arrow, "IN_MEMORY", 100)
    kind = pa.array(["x", "y"] * 1500).dictionary_encode()
    table = pa.table({"n": range(3000), "text": [f"caption {i}" for i in range(3000)], "kind": kind})
    pq.write_table(table, tmp_path / "m.parquet", row_group_size=700)
    made = reader(tmp_path / "m.parquet")
    data = pickle.dumps(made)
    assert len(data) < 5000
    again = pickle.loads(data)
    assert [again[i]["text"] for i in (2999, 0, 1024, 700)] == [f"caption {i}" for i in (2999, 0, 1024, 700)]
    assert again[1]["kind"] == "y"
    assert again.sample_id(1500) == "m.parquet:1501"


def test_large_text_index_is_mapped_by_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "SPILL", 1000)
    path = write(tmp_path / "m.jsonl", "".join(f'{{"n": {i}}}\n' for i in range(2000)))
    data = pickle.dumps(reader(path))
    assert len(data) < 2000
    again = pickle.loads(data)
    assert [again[i]["n"] for i in (1999, 0, 77)] == [1999, 0, 77]
    assert len(pickle.dumps(again)) < 2000


def test_memory_per_row_is_small(tmp_path):
    path = write(tmp_path / "m.jsonl", "".join(f'{{"text": "{"x" * 400}", "n": {i}}}\n' for i in range(5000)))
    tracemalloc.start()
    made = reader(path)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(made) == 5000
    assert held < 5000 * 60


def test_a_damaged_row_keeps_its_number(tmp_path):
    path = write(
        tmp_path / "m.jsonl", b'{"t": "a"}\n{"t": \n[1]\n{"t": "caf\xe9"}\n\n{"t": "x", "t": "y"}\n{"t": "z"}\n'
    )
    made = reader(path)
    assert len(made) == 6
    assert (made[0]["t"], made[5]["t"]) == ("a", "z")
    reasons = []
    for row in range(1, 5):
        with pytest.raises(BadSample) as caught:
            made[row]
        reasons.append(caught.value.reason)
    assert reasons[0].startswith("m.jsonl:2: is not valid JSON")
    assert reasons[1] == "m.jsonl:3: is a JSON list, not an object such as {...}"
    assert reasons[2] == "m.jsonl:4: is not UTF-8: byte 0xe9 at column 11"
    assert reasons[3] == "m.jsonl:6: names 't' twice"


def test_rows_that_are_hard_to_parse(tmp_path):
    rows = ['{"n": 1}', '{"n": ' + "1" * 5000 + "}", '{"n": ' + "[" * 200_000 + "}", '{"n": NaN}']
    made = reader(write(tmp_path / "m.jsonl", "\n".join(rows)))
    for row in (1, 2):
        with pytest.raises(BadSample, match=rf"m.jsonl:{row + 1}: is "):
            made[row]


def test_a_damaged_csv_row_keeps_its_number(tmp_path):
    made = reader(write(tmp_path / "m.csv", b'f,t\na,b\na,b,c\na,caf\xe9\na,"x"y\na,b\n'))
    assert len(made) == 5
    assert made[4] == {"f": "a", "t": "b"}
    for row, reason in (
        (1, "m.csv:3: has 3 cells, the header names 2"),
        (2, "m.csv:4: is not UTF-8"),
        (3, "m.csv:5: is not"),
    ):
        with pytest.raises(BadSample, match=reason):
            made[row]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.jsonl", b"", "m.jsonl: is empty"),
        ("m.jsonl", b"\n \n", "m.jsonl: holds no rows"),
        ("m.csv", b"a,b\n", "m.csv: holds no rows"),
        ("m.csv", b"a,b,a\n1,2,3\n", r"m.csv:1: two columns are named 'a' \(columns 1 and 3\)"),
        ("m.csv", b"a,b\xff\n1,2\n", "m.csv:1: the header is not UTF-8"),
        ("m.csv", b'a,b\n1,2\n3,"4\n5,6\n', "m.csv:3: a quote"),
        ("m.jsonl", b'[\n{"a": 1}]\n', "no usable row; the first problem: m.jsonl:1"),
        ("m.jsonl", '{"a": 1}'.encode("utf-16"), "m.jsonl: is UTF-16"),
        ("m.parquet", b"PAR1 not really", "is not a readable Parquet file"),
        ("m.txt", b"x", "the suffix '.txt' says no format. Known: .csv"),
    ],
)
def test_a_file_that_cannot_be_used_at_all(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message):
        reader(write(tmp_path / name, content))


def test_a_missing_file_names_the_nearest(tmp_path):
    write(tmp_path / "train.jsonl", "{}")
    with pytest.raises(DataError, match=r"trian.jsonl: manifest not found. Did you mean train.jsonl\?"):
        reader(tmp_path / "trian.jsonl")
    with pytest.raises(DataError, match="does not exist"):
        reader(tmp_path / "no" / "train.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        reader(write(tmp_path / "x", "").parent, format="jsonl")


def test_duplicate_parquet_columns(tmp_path):
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "m.parquet")
    with pytest.raises(DataError, match="two columns are named 'a'"):
        reader(tmp_path / "m.parquet")
