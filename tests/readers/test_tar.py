"""The tar reader: layout, values, cached indexes, processes, and what it refuses."""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import pickle
import shutil
import tarfile
import threading
from pathlib import Path

import pytest

from anyclip.errors import BadSample, DataError
from anyclip.readers import Blob, shared, tarindex
from anyclip.readers.files import FilePool
from anyclip.readers.options import TarOptions
from anyclip.readers.tar import TarReader


def write(path: Path, files: dict[str, bytes], *, format: int = tarfile.GNU_FORMAT, mtime: int = 7) -> Path:
    with tarfile.open(path, "w", format=format) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), mtime
            archive.addfile(member, io.BytesIO(data))
    return path


def shard(path: Path, start: int, n: int = 3) -> Path:
    files = {}
    for i in range(start, start + n):
        files[f"{i:04d}.bin"] = f"data {i}".encode() * (i + 1)
        files[f"{i:04d}.txt"] = f"caption {i}".encode()
    return write(path, files)


def reader(path, **options) -> TarReader:
    paths = [str(p) for p in path] if isinstance(path, list) else str(path)
    return TarReader(TarOptions(path=paths, **options))


@pytest.fixture
def shards(tmp_path) -> Path:
    folder = tmp_path / "shards"
    folder.mkdir()
    for s in range(3):
        shard(folder / f"s-{s:02d}.tar", 3 * s)
    return folder


def test_rows_in_any_order(shards):
    made = reader(shards / "s-{00..02}.tar")
    assert len(made) == 9
    assert made.columns() == ["bin", "txt"]
    for row in (8, 0, 4):
        assert made.value(row, "txt") == f"caption {row}"
        assert made[row]["bin"] == Blob(f"data {row}".encode() * (row + 1), f"s-0{row // 3}.tar/{row:04d}.bin")
    assert made.sample_id(4) == "s-01.tar/0004"
    with pytest.raises(IndexError):
        made[9]


@pytest.mark.parametrize("given", ["s-{00..02}.tar", "s-*.tar", ".", "s-0{0,1,2}.tar", ["s-00.tar", "s-{01..02}.tar"]])
def test_ways_to_name_shards(shards, given):
    made = TarReader(TarOptions(path=given), base=str(shards))
    assert [made.value(i, "txt") for i in range(9)] == [f"caption {i}" for i in range(9)]


def test_equal_shard_names_in_two_folders_are_told_apart(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shard(tmp_path / name / "s.tar", 0, 1)
    made = reader([tmp_path / "a" / "s.tar", tmp_path / "b" / "s.tar"])
    assert [made.sample_id(i) for i in range(2)] == ["a/s.tar/0000", "b/s.tar/0000"]


def test_layout(tmp_path):
    made = reader(
        write(
            tmp_path / "s.tar",
            {
                "./x/0001.JPG": b"j",
                "x/0001.seg.png": b"s",
                "x.y/0002.jpg": b"k",
                "x/.hidden": b"",
                "README": b"",
                "__MACOSX/x/0001.jpg": b"",
                "x/0001.txt": b"late",
                "0003.json": b'{"caption": "a dog", "n": 3}',
                "0003.cls": b"12\n",
                "0004.cls": b"cat",
            },
        )
    )
    assert [made.sample_id(i) for i in range(4)] == ["s.tar/x/0001", "s.tar/x.y/0002", "s.tar/0003", "s.tar/0004"]
    assert made.columns() == ["jpg", "seg.png", "txt", "json", "cls"]
    assert dict(made[0]) == {
        "jpg": Blob(b"j", "s.tar/x/0001.jpg"),
        "seg.png": Blob(b"s", "s.tar/x/0001.seg.png"),
        "txt": "late",
    }
    assert (made.value(2, "json.caption"), made.value(2, "json")["n"], made.value(0, "json.caption")) == (
        "a dog",
        3,
        None,
    )
    assert (made.value(2, "cls"), made.value(3, "cls")) == (12, "cat")
    assert made.ignored == 3
    assert made.incomplete["txt"] == (3, "s.tar/x.y/0002")
    assert made.find("json.caption") == "json.caption"
    assert made.find("png;jpg") == "png;jpg"
    assert made.value(1, "png;jpg").data == b"k"
    assert made.find("nothing") is None


def test_a_stream_finds_its_column_by_the_suffixes_of_its_modality(tmp_path):
    made = reader(write(tmp_path / "s.tar", {"1.toy.npy": b"x", "1.txt": b"y"}))
    assert made.find("vector", modality="toy") == "toy.npy"
    assert made.value(0, made.find("vector", modality="toy")).data == b"x"
    assert made.find("vector") is None


def test_values_that_do_not_decode_name_shard_and_key(tmp_path):
    made = reader(write(tmp_path / "s.tar", {"1.txt": b"caf\xe9", "1.json": b"{", "2.json": b"[1]"}))
    with pytest.raises(BadSample, match=r"s.tar/1.txt: is not UTF-8"):
        made.value(0, "txt")
    with pytest.raises(BadSample, match=r"s.tar/1.json: is not valid JSON"):
        made.value(0, "json")
    with pytest.raises(BadSample, match="a JSON list, which has no 'x'"):
        made.value(1, "json.x")


def test_nothing_is_unpickled(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "pwned"),)

    data = pickle.dumps(Payload())
    made = reader(write(tmp_path / "s.tar", {f"1.{suffix}": data for suffix in ("pyd", "pkl", "pickle", "pth", "npy")}))
    assert all(value.data == data for value in made[0].values())
    assert not (tmp_path / "pwned").exists()


# -- the index ------------------------------------------------------------------------------------------------


def test_the_index_is_made_once(shards, monkeypatch):
    reader(shards)
    assert sorted(p.name for p in shards.iterdir() if p.suffix == ".npz") == [f"s-0{i}.tar.index.npz" for i in range(3)]
    monkeypatch.setattr(tarindex, "build", None)
    assert reader(shards).value(7, "txt") == "caption 7"


def test_a_changed_shard_is_indexed_again(shards):
    before = reader(shards).fingerprint()
    write(shards / "s-01.tar", {"new.txt": b"new"})
    made = reader(shards)
    assert len(made) == 7
    assert made.value(3, "txt") == "new"
    assert made.fingerprint() != before


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"junk", lambda data: b""])
def test_a_damaged_index_is_made_again(shards, damage):
    reader(shards)
    place = shards / "s-01.tar.index.npz"
    place.write_bytes(damage(place.read_bytes()))
    assert reader(shards).value(4, "txt") == "caption 4"
    assert tarindex.ShardIndex.load(place, f"{_size(shards)}:{_time(shards)}") is not None


def _size(shards: Path) -> int:
    return (shards / "s-01.tar").stat().st_size


def _time(shards: Path) -> int:
    return (shards / "s-01.tar").stat().st_mtime_ns


def test_a_folder_that_cannot_be_written_uses_the_cache(shards, own_cache, monkeypatch):
    save = tarindex.ShardIndex.save

    def refuse_beside(self, path, stamp):
        if path.parent == shards:
            raise PermissionError("read-only")
        save(self, path, stamp)

    monkeypatch.setattr(tarindex.ShardIndex, "save", refuse_beside)
    reader(shards)
    assert not list(shards.glob("*.npz"))
    assert len(list((own_cache / "shards").iterdir())) == 3
    monkeypatch.setattr(tarindex, "build", None)
    assert len(reader(shards)) == 9


def test_a_read_only_folder_is_left_as_it_is_even_by_root(shards, own_cache):
    shards.chmod(0o555)
    try:
        assert len(reader(shards)) == 9
        assert not list(shards.glob("*.npz"))
        assert len(list((own_cache / "shards").iterdir())) == 3
    finally:
        shards.chmod(0o755)


def test_nowhere_to_save_the_index_is_a_warning(shards, monkeypatch, caplog):
    def refuse(self, path, stamp):
        raise OSError("disk full")

    monkeypatch.setattr(tarindex.ShardIndex, "save", refuse)
    assert len(reader(shards)) == 9
    assert "disk full" in caplog.text


def test_the_cache_option(shards, tmp_path):
    reader(shards, cache=str(tmp_path / "mine"))
    assert not list(shards.glob("*.npz"))
    assert len(list((tmp_path / "mine" / "shards").iterdir())) == 3


def test_fingerprint_follows_content_not_place(shards, tmp_path):
    before = reader(shards).fingerprint()
    copy = shutil.copytree(shards, tmp_path / "copy")
    os.utime(copy / "s-00.tar", (5, 5))
    assert reader(copy).fingerprint() == before
    assert reader([shards / "s-01.tar", shards / "s-00.tar", shards / "s-02.tar"]).fingerprint() != before


# -- processes, threads, descriptors --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_read_in_another_process(shards, method):
    made = reader(shards)
    made.value(0, "txt")  # the parent's files are open
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        assert pool.starmap(made.value, [(i, "txt") for i in (8, 1, 5)]) == [f"caption {i}" for i in (8, 1, 5)]


def test_pickled_readers_are_small_and_read_the_same(shards, monkeypatch):
    made = reader(shards)
    made.value(0, "txt")
    assert pickle.loads(pickle.dumps(made)).value(5, "txt") == "caption 5"
    monkeypatch.setattr(shared, "SPILL", 10)
    data = pickle.dumps(made)
    again = pickle.loads(data)
    assert [again.value(i, "txt") for i in (8, 0)] == ["caption 8", "caption 0"]
    assert again.sample_id(8) == "s-02.tar/0008"
    assert pickle.loads(pickle.dumps(again)).sample_id(3) == made.sample_id(3)


def test_few_files_stay_open(shards):
    made = reader(shards)
    made._files = FilePool(2)
    for row in (0, 3, 6, 1, 4, 7):
        assert made.value(row, "txt") == f"caption {row}"
        assert len(made._files) <= 2
    made._files.close()
    assert made.value(2, "txt") == "caption 2"


def test_threads_share_a_small_pool(shards):
    made = reader(shards)
    made._files = FilePool(1)
    wrong: list[int] = []

    def work(offset: int) -> None:
        for i in range(300):
            row = (i * 7 + offset) % 9
            if made.value(row, "txt") != f"caption {row}":
                wrong.append(row)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_shard_that_shrinks_after_indexing(shards):
    made = reader(shards)
    os.truncate(shards / "s-02.tar", 700)
    with pytest.raises(BadSample, match=r"s-02.tar/0008: the shard has become shorter"):
        made.value(8, "txt")
    assert made.value(0, "txt") == "caption 0"


# -- the shared broken shards ---------------------------------------------------------------------------------


@pytest.fixture
def broken_shards(broken, tmp_path) -> Path:
    made = tmp_path / "broken"
    made.mkdir()
    for path in (broken / "shards").glob("*.tar"):
        shutil.copy(path, made)
    return made


def test_shared_good(broken_shards):
    made = reader(broken_shards / "good.tar")
    assert [made.value(i, "txt") for i in range(len(made))] == [f"tone {i}" for i in range(4)]
    assert made.incomplete == {}


def test_shared_missing_modality(broken_shards, caplog):
    caplog.set_level(logging.INFO)
    made = reader(broken_shards / "missing_modality.tar")
    assert len(made) == 4
    assert made.value(1, "txt") is None
    assert "txt" not in made[1]
    assert made.incomplete == {"txt": (1, "missing_modality.tar/0001")}
    assert "1 of 4 samples lack .txt, first: missing_modality.tar/0001" in caplog.text


def test_shared_bad_member_can_be_named(broken_shards):
    assert reader(broken_shards / "bad_member.tar").value(1, "wav") == Blob(b"junk", "bad_member.tar/0001.wav")


def test_shared_truncated(broken_shards, caplog):
    with pytest.raises(DataError, match=r"truncated.tar: is cut short: it ends in the middle of '0002.wav'. 2 samples"):
        reader(broken_shards / "truncated.tar")
    made = reader(broken_shards / "truncated.tar", on_truncated="warn")
    assert [made.value(i, "txt") for i in range(len(made))] == ["tone 0", "tone 1"]
    assert "truncated.tar: is cut short" in caplog.text


def test_shared_traversal(broken_shards):
    before = sorted(broken_shards.parent.rglob("*"))
    with pytest.raises(DataError, match=r"traversal.tar: the member '../../evil.txt' leaves the folder"):
        reader(broken_shards / "traversal.tar")
    assert sorted(broken_shards.parent.rglob("*")) == before


def test_shared_pickle_member(broken_shards):
    assert reader(broken_shards / "pickle_member.tar").value(1, "pyd").data == b"\x80\x04K\x01."


def test_no_shared_case_is_left_out(expected):
    here = {"good", "missing_modality", "bad_member", "truncated", "traversal", "pickle_member"}
    assert {f"shards/{name}.tar" for name in here} == {file for file in expected if file.startswith("shards/")}
