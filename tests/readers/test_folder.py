"""The folder reader: classes, modalities by suffix, what is left out."""

from __future__ import annotations

import logging
import pickle
import shutil
from pathlib import Path

import pytest

from anyclip.errors import DataError, PluginError
from anyclip.readers.folder import FolderReader
from anyclip.readers.options import FolderOptions
from anyclip.registry import Registry, use_registry
from anyclip.registry.registry import Part, PluginRow
from anyclip.specs import ModalitySpec


@pytest.fixture(autouse=True)
def modalities():
    """Three modalities: two claim `.clip`, and one has strings as values."""
    specs = [
        ModalitySpec(name="picture", summary="", suffixes=(".png", ".clip")),
        ModalitySpec(name="sound", summary="", suffixes=(".wav", ".clip", ".raw.npy")),
        ModalitySpec(name="words", summary="", suffixes=(".txt",), string_is_value=True),
    ]
    row = PluginRow(name="t", distribution="t", version="1", parts=[Part(s, "t", "1") for s in specs])
    with use_registry(Registry([row])):
        yield


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def reader(path: Path, **options) -> FolderReader:
    return FolderReader(FolderOptions(path=str(path), **options))


def test_rows_are_sorted_by_class_and_name(tmp_path):
    made = reader(fill(tmp_path, "dog/2.png", "cat/b.PNG", "dog/10.png", "cat/sub/a.png"))
    assert [made.sample_id(i) for i in range(len(made))] == ["cat/b.PNG", "cat/sub/a.png", "dog/10.png", "dog/2.png"]
    assert made[1] == {"file": "cat/sub/a.png", "label": "cat", "picture": "cat/sub/a.png"}
    assert made.classes == ["cat", "dog"]
    assert made.columns() == ["file", "label", "picture"]
    assert Path(made.locate(made[0]["picture"])).read_bytes() == b"cat/b.PNG"
    assert pickle.loads(pickle.dumps(made))[3] == made[3]
    with pytest.raises(IndexError):
        made[4]


def test_streams_find_their_modality(tmp_path):
    made = reader(fill(tmp_path, "a/1.png", "a/2.wav", "a/3.raw.npy"))
    assert [made.find(name, modality="sound") for name in ("sound", "effect")] == ["sound", "sound"]
    assert made.find("photo", modality="picture") == "picture"
    assert made.find("photo", modality="words") is None
    assert [made.value(i, "sound") for i in range(3)] == [None, "a/2.wav", "a/3.raw.npy"]


def test_a_modality_of_strings_gives_the_content(tmp_path):
    fill(tmp_path, "a/1.txt")
    (tmp_path / "a" / "1.txt").write_bytes(b"\xef\xbb\xbfhello")
    assert reader(tmp_path)[0]["words"] == "hello"


def test_what_is_left_out_is_counted_and_logged_once(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    made = reader(fill(tmp_path, "a/1.png", "a/.2.png", ".git/3.png", "a/x.xml", "a/y.xml", "a/README", "top.png"))
    assert len(made) == 1
    assert made.ignored == {"hidden": 2, ".xml": 2, "without a suffix": 1, "outside a class": 1}
    assert len(caplog.records) == 1
    assert "2 .xml" in caplog.text


def test_a_suffix_of_two_modalities_needs_the_option(tmp_path):
    fill(tmp_path, "a/1.clip", "a/2.wav")
    with pytest.raises(
        DataError, match=r"the suffix .clip may be picture or sound. Set the option `modality: picture`"
    ):
        reader(tmp_path)
    assert len(reader(tmp_path, modality="sound")) == 2
    assert len(reader(tmp_path, modality="picture")) == 1
    with pytest.raises(PluginError, match=r"unknown modality 'sond'. Did you mean sound"):
        reader(tmp_path, modality="sond")


def test_links_that_go_round_end(tmp_path):
    fill(tmp_path, "a/1.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "b").symlink_to(tmp_path / "a", target_is_directory=True)
    made = reader(tmp_path)
    assert [made.sample_id(i) for i in range(len(made))] == ["a/1.png", "b/1.png"]


def test_nothing_to_read(tmp_path):
    with pytest.raises(
        DataError, match=r"Wanted: a folder per class with files of picture, sound, words; found: 1 outside"
    ):
        reader(fill(tmp_path, "1.png"))
    with pytest.raises(DataError, match="not found"):
        reader(tmp_path / "none")


def test_fingerprint_follows_names_and_sizes(tmp_path):
    made = reader(fill(tmp_path / "x", "a/1.png"))
    copy = Path(shutil.copytree(tmp_path / "x", tmp_path / "y"))
    assert reader(copy).fingerprint() == made.fingerprint()
    (copy / "a" / "1.png").write_bytes(b"longer than before")
    assert reader(copy).fingerprint() != made.fingerprint()
