"""What the boxes of an mp4 file say: whole or cut, constant rate or not."""

from __future__ import annotations

import io
import struct

import pytest
from anyclip_video.mp4 import Mp4Facts, read_mp4
from anyclip_video.writing import write_video

from .conftest import numbered


def facts(data: bytes) -> Mp4Facts:
    return read_mp4(io.BytesIO(data))


def test_a_file_that_is_written_here_is_whole_and_of_constant_rate():
    assert facts(write_video(numbered(16), 8.0)) == Mp4Facts(missing=None, constant=True)


def test_a_cut_file_says_what_is_there():
    data = write_video(numbered(16), 8.0)
    where = data.index(b"mdat")
    assert facts(data[: where + 1000]).missing.endswith("bytes of its frames are there")
    assert facts(data[: where - 4]).missing == "truncated: it has no index (moov)"
    index = data.index(b"moov")
    assert facts(data[: index + 100]).missing.endswith("bytes of its index are there")


def test_other_containers_are_not_judged():
    assert facts(b"\x1aE\xdf\xa3 webm") == Mp4Facts()
    assert facts(b"") == Mp4Facts()
    assert facts(struct.pack(">I4s", 8, b"ftyp") + struct.pack(">I4s", 3, b"mdat")).missing


@pytest.mark.parametrize(
    ("name", "constant"), [("good", True), ("faststart", True), ("vfr", False), ("one_keyframe", True)]
)
def test_the_rate_of_odd_files(broken, name, constant):
    assert facts((broken / f"{name}.mp4").read_bytes()) == Mp4Facts(None, constant)
