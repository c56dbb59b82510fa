"""The shared broken manifests behave as their `expected.jsonl` says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from anyclip.errors import BadSample, DataError
from anyclip.readers.manifest import ManifestReader
from anyclip.readers.options import ManifestOptions


def reader(path: Path) -> ManifestReader:
    return ManifestReader(ManifestOptions(path=str(path)))


def good(path: Path) -> None:
    made = reader(path)
    assert [made[i]["text"] for i in range(len(made))] == ["a tone", "a tone again"]
    assert all(Path(made.locate(made[i]["audio"])).is_file() for i in range(2))


def missing_file(path: Path) -> None:
    made = reader(path)
    assert made.sample_id(2) == "missing_file.jsonl:3"
    assert not Path(made.locate(made[2]["audio"])).exists()


def empty_caption(path: Path) -> None:
    made = reader(path)
    assert made[2]["text"] == ""  # the processor refuses it; the row can be named
    assert made.sample_id(2) == "empty_caption.jsonl:3"


def long_caption(path: Path) -> None:
    assert len(reader(path)[2]["text"]) >= 100_000


def missing_column(path: Path) -> None:
    made = reader(path)
    assert made.columns() == ["audio"]
    assert made.find("text") is None


def bom_crlf(path: Path) -> None:
    made = reader(path)
    assert len(made) == 1
    assert made[0] == {"audio": "../audio/good_mono_16k.wav", "text": "a tone, with a comma"}


def bad_utf8(path: Path) -> None:
    with pytest.raises(DataError, match=r"no usable row; the first problem: bad_utf8.jsonl:1: is not UTF-8: byte 0xe9"):
        reader(path)


def broken_json_line2(path: Path) -> None:
    made = reader(path)
    assert made[0]["text"] == "a"
    with pytest.raises(BadSample, match=r"broken_json_line2.jsonl:2: is not valid JSON"):
        made[1]


def empty(path: Path) -> None:
    with pytest.raises(DataError, match=r"empty.jsonl: is empty"):
        reader(path)


def wrong_types(path: Path) -> None:
    made = reader(path)
    assert (made[0]["audio"], made[0]["text"]) == (7, ["a", "b"])
    assert made[1]["audio"] is None
    assert made.sample_id(0) == "wrong_types.jsonl:1"


CHECKS: dict[str, Callable[[Path], None]] = {
    "good.jsonl": good,
    "missing_file.jsonl": missing_file,
    "empty_caption.jsonl": empty_caption,
    "long_caption.jsonl": long_caption,
    "missing_column.csv": missing_column,
    "bom_crlf.csv": bom_crlf,
    "bad_utf8.jsonl": bad_utf8,
    "broken_json_line2.jsonl": broken_json_line2,
    "empty.jsonl": empty,
    "wrong_types.jsonl": wrong_types,
}


@pytest.mark.parametrize("name", CHECKS)
def test_behaves_as_expected(broken, name):
    CHECKS[name](broken / "manifest" / name)


def test_no_case_is_left_out(expected):
    assert {f"manifest/{name}" for name in CHECKS} == {file for file in expected if file.startswith("manifest/")}
