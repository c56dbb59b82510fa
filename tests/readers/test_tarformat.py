"""Reading tar headers: the same members as the standard library finds, and everything that is refused."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile

import pytest

from anyclip.errors import DataError
from anyclip.readers import tarindex
from anyclip.readers.shards import expand_braces, find_shards
from anyclip.readers.tarformat import BLOCK, Truncated, _number, members

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def archive(files: dict[str, bytes], *, format: int = tarfile.GNU_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=format) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def special(name: str, kind: bytes, *, link: str = "") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        tar.addfile(info)
    return made.getvalue()


def scan(data: bytes) -> list[tuple[str, int, int]]:
    found = members(lambda size, offset: data[offset : offset + size], len(data), "s.tar")
    return [(m.name, m.offset, m.size) for m in found]


FILES = {
    "0001.jpg": b"a" * 1000,
    "empty.txt": b"",
    f"{'folder/' * 12}0002.jpg": b"b" * 512,
    f"{'n' * 60}/{'m' * 60}.jpg": b"c",
    f"{'very-long-name-' * 20}.txt": b"d" * 513,
    "Blüte.txt": b"e",
}


@pytest.mark.parametrize("format", FORMATS)
def test_same_members_as_the_standard_library(format):
    files = {n: d for n, d in FILES.items() if format != "ustar" or len(n) < 255}
    data = archive(files, format=FORMATS[format])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        wanted = [(m.name, m.offset_data, m.size) for m in tar if m.isreg()]
    assert scan(data) == wanted
    assert [data[o : o + s] for _, o, s in scan(data)] == list(files.values())


def test_folders_and_global_headers_are_skipped():
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "hello"}) as tar:
        folder = tarfile.TarInfo("a")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        info = tarfile.TarInfo("a/1.txt")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"hi"))
    assert [name for name, _, _ in scan(made.getvalue())] == ["a/1.txt"]


def test_joined_archives_are_read_to_the_end():
    data = archive({"1.txt": b"x"}) + archive({"2.txt": b"y"})
    assert [name for name, _, _ in scan(data)] == ["1.txt", "2.txt"]


def test_sizes_beyond_eight_gigabytes():
    size = 10 * 2**30
    info = tarfile.TarInfo("big.bin")
    info.size = size
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        head = info.tobuf(format=format)
        total = len(head) + size + 2 * BLOCK
        found = members(lambda n, o, head=head: head[o : o + n].ljust(n, b"\0"), total, "s.tar")
        assert [(m.size, m.offset) for m in found] == [(size, len(head))]


def test_number_fields():
    assert _number(b"0000644\0") == 0o644
    assert _number(b"   12 \0 ") == 10
    assert _number(b"\0" * 8) == 0
    for bad in (b"0008\0", b"-1\0", b"\xff" * 12, b"abc"):
        with pytest.raises(ValueError):
            _number(bad)


@pytest.mark.parametrize(
    ("name", "what"),
    [("../a.txt", "leaves the folder"), ("/abs/a.txt", "leaves"), ("a/../../b.txt", "leaves"), ("a/..", "leaves")],
)
def test_names_that_leave_the_folder(name, what):
    with pytest.raises(DataError, match=rf"s.tar: the member '{name}' {what}"):
        scan(archive({"ok.txt": b"", name: b"x"}))


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a character device"),
        (tarfile.BLKTYPE, "a block device"),
        (tarfile.FIFOTYPE, "a named pipe"),
        (tarfile.GNUTYPE_SPARSE, "a sparse file"),
    ],
)
def test_links_devices_and_sparse_files_are_refused_by_name(kind, what):
    with pytest.raises(DataError, match=f"s.tar: the member 'bad.txt' is {what}"):
        scan(special("bad.txt", kind, link="/etc/passwd"))


def test_pax_sparse_files_are_refused():
    info = tarfile.TarInfo("s.bin")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "s.bin"}
    data = info.tobuf(format=tarfile.PAX_FORMAT) + bytes(2 * BLOCK)
    with pytest.raises(DataError, match="is a sparse file"):
        scan(data)


def test_names_in_extended_headers_are_checked_too():
    info = tarfile.TarInfo("ok.txt")
    info.pax_headers = {"path": "../evil.txt"}
    with pytest.raises(DataError, match=r"'../evil.txt' leaves the folder"):
        scan(info.tobuf(format=tarfile.PAX_FORMAT) + bytes(2 * BLOCK))


GOOD = archive({"1.txt": b"x" * 600, "2.txt": b"y" * 600})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "s.tar: is empty"),
        (b"hello", "s.tar: is not a tar archive: it has 5 bytes"),
        (b"hello" * 300, "s.tar: is not a tar archive: "),
        (gzip.compress(GOOD).ljust(600, b"\0"), "s.tar: is gzip-compressed: a compressed shard has no random access"),
        (bz2.compress(GOOD).ljust(600, b"\0"), "s.tar: is bzip2-compressed"),
        (GOOD[:1536] + b"z" * 512 + GOOD[2048:], "s.tar: is damaged: .* in the header at byte 1536"),
        (GOOD[:100] + b"\x01" + GOOD[101:], "wrong checksum"),
    ],
)
def test_what_is_no_archive(data, message):
    with pytest.raises(DataError, match=message):
        scan(data)


def test_gzip_says_how_to_unpack():
    with pytest.raises(DataError, match=r"next: gunzip --keep s.tar"):
        scan(gzip.compress(GOOD).ljust(600, b"\0"))


def test_every_cut_is_noticed():
    end = 4 * BLOCK + 2 * BLOCK  # two headers, two bodies of two blocks
    for cut in range(BLOCK, end + 1, 100):
        with pytest.raises(Truncated):
            scan(GOOD[:cut])
    assert len(scan(GOOD[: end + BLOCK])) == 2


def build(data: bytes) -> tarindex.ShardIndex:
    return tarindex.build(lambda size, offset: data[offset : offset + size], len(data), "s.tar")


def test_a_cut_shard_keeps_its_complete_samples_only():
    data = archive({f"{i}.{suffix}": b"x" * 400 for i in range(3) for suffix in ("jpg", "txt")})
    whole = build(data)
    assert (whole.keys, whole.problem) == (["0", "1", "2"], "")
    in_text = build(data[: 2 * BLOCK * 3 + BLOCK + 100])  # in the body of 1.txt
    assert (in_text.keys, in_text.problem[:18]) == (["0"], "ends in the middle")
    between = build(data[: 2 * BLOCK * 3])  # after 1.jpg, 1.txt is not there
    assert (between.keys, between.problem) == (["0"], "has no end mark")
    after = build(data[: 2 * BLOCK * 4])  # after 1.txt
    assert after.keys == ["0", "1"]


def test_two_members_of_one_column():
    with pytest.raises(DataError, match=r"s.tar: the sample '1' has two members with the suffix 'txt'"):
        build(archive({"1.txt": b"a"}) + archive({"1.TXT": b"b"}))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("s-{0000..0002}.tar", ["s-0000.tar", "s-0001.tar", "s-0002.tar"]),
        ("s-{8..11}.tar", ["s-8.tar", "s-9.tar", "s-10.tar", "s-11.tar"]),
        ("s-{08..10}", ["s-08", "s-09", "s-10"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{0..6..3}", ["0", "3", "6"]),
        ("{a..c}x", ["ax", "bx", "cx"]),
        ("{a,b}{0..1}", ["a0", "a1", "b0", "b1"]),
        ("{a,{0..1}}", ["a", "0", "a", "1"]),
        ("plain{x}.tar", ["plain{x}.tar"]),
        ("no braces", ["no braces"]),
        ("{train,}s", ["trains", "s"]),
    ],
)
def test_braces(text, names):
    assert sorted(set(expand_braces(text))) == sorted(set(names))
    if "{a,{" not in text:
        assert expand_braces(text) == names


def test_too_many_shards():
    with pytest.raises(DataError, match="more than 1,000,000 shards"):
        expand_braces("s-{0..99999999}.tar")


def test_paths_that_name_nothing(tmp_path):
    (tmp_path / "s-00.tar").write_bytes(GOOD)
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "x.tar.gz").write_bytes(b"")
    for path, message in (
        ("s-01.tar", r"s-01.tar: shard not found. Did you mean s-00.tar\?"),
        ("s-{00..03}.tar", r"s-01.tar: shard not found \(3 of 4 are missing\)"),
        ("x-*.tar", "no shard fits this pattern"),
        ("packed", r"holds no .tar file. It has x.tar.gz: compressed shards"),
        (["s-00.tar", "s-*.tar"], r"s-00.tar: the shard is named twice"),
        ([], "names no shard"),
    ):
        with pytest.raises(DataError, match=message):
            find_shards(path, str(tmp_path))
