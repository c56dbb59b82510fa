"""The members of a tar archive by reading headers only: POSIX ustar and pax, GNU long names, old V7.

Written here because the standard library's `tarfile` holds an object per member and reads a whole stream for what a
remote shard answers in a few range reads; the formats are those of POSIX.1-2017 (`pax`) and of the GNU tar manual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from anyclip.errors import DataError

BLOCK = 512
_ZERO = bytes(BLOCK)
_REGULAR = b"0\x007"  # a file, a file of old V7 archives, a contiguous file
_SKIPPED = b"5gKV"  # a folder, a global header, a long link name, a volume label
_REFUSED = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a named pipe",
    b"S": "a sparse file",
    b"M": "a part of a file on another volume",
    b"D": "a GNU folder dump",
}
_EXTENSION_LIMIT = 1 << 20
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"PK\x03\x04": "zip",
}


@dataclass(frozen=True)
class Member:
    """A regular file of a shard: `size` bytes from `offset`; `time` as the header writes it."""

    name: str
    offset: int
    size: int
    time: bytes


class Truncated(Exception):
    """The archive ends in the middle; `member` is the one that was cut, if any."""

    def __init__(self, reason: str, member: str | None = None):
        self.member = member
        super().__init__(reason)


def members(read: Callable[[int, int], bytes], total: int, shard: str) -> Iterator[Member]:
    """Every regular file of an archive of `total` bytes; `read(size, offset)` gives bytes.

    Zero blocks end an archive, but archives that were joined with `cat` go on after them. Raises Truncated when the
    archive is cut, and DataError naming shard and member for what is refused: compression, damage, links, devices,
    sparse files, and names that leave the folder.
    """
    if total < BLOCK:
        raise DataError("is empty." if not total else f"is not a tar archive: it has {total} bytes.", where=shard)
    at, ended = 0, False
    long_name: str | None = None
    pax: dict[str, str] = {}
    while at + BLOCK <= total:
        header = read(BLOCK, at)
        if header == _ZERO:
            at, ended = at + BLOCK, True
            continue
        size = _check_header(header, at, shard)
        kind, name, ended = header[156:157], _name(header), False
        if kind in (b"L", b"x"):
            data = _extension(read, at, size, total, shard)
            if kind == b"L":
                long_name = data.rstrip(b"\0").decode("utf-8", "surrogateescape")
            else:
                pax.update(_pax(data, shard))
            at += BLOCK + _padded(size)
            continue
        name = pax.get("path", long_name or name)
        size = _pax_size(pax, size, shard, name)
        if any(key.startswith("GNU.sparse") for key in pax):
            kind = b"S"
        long_name, pax = None, {}
        if _is_file(kind, name, shard):
            if at + BLOCK + size > total:
                raise Truncated(f"ends in the middle of {name!r}", name)
            yield Member(_checked(name, shard), at + BLOCK, size, header[136:148])
        at += BLOCK + (0 if kind == b"5" else _padded(size))
    if not ended:
        raise Truncated("has no end mark")


def _is_file(kind: bytes, name: str, shard: str) -> bool:
    """Whether a member is a sample's file; False for what is skipped. Raises DataError for what is refused."""
    if kind in _REFUSED:
        raise DataError(f"the member {name!r} is {_REFUSED[kind]}, which a shard may not hold.", where=shard)
    if kind not in _REGULAR and kind not in _SKIPPED:
        raise DataError(f"the member {name!r} is of the unknown type {kind!r}.", where=shard)
    return kind in _REGULAR and not name.endswith("/")


def _not_tar(head: bytes, shard: str, error: ValueError) -> DataError:
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return DataError(
                f"is {name}-compressed: a compressed shard has no random access.",
                where=shard,
                hint="Unpack it once; pictures and sound do not get smaller by it.",
                next=f"gunzip --keep {shard}" if name == "gzip" else None,
            )
    return DataError(f"is not a tar archive: {error} in its first header.", where=shard)


def _check_header(header: bytes, at: int, shard: str) -> int:
    """The size field of a header whose checksum is right."""
    try:
        wanted = _number(header[148:156])
        found = sum(header) - sum(header[148:156]) + 8 * 32
        signed = found - 256 * sum(byte > 127 for byte in header[:148] + header[156:]) if wanted != found else found
        if wanted not in (found, signed):  # some old writers summed signed bytes
            raise ValueError("wrong checksum")
        return _number(header[124:136])
    except ValueError as error:
        if at == 0:
            raise _not_tar(header, shard, error) from None
        raise DataError(f"is damaged: {error} in the header at byte {at}.", where=shard) from None


def _number(field: bytes) -> int:
    """Octal digits, or base 256 when the first bit is set (GNU, for 8 GiB and more)."""
    if field[0] & 0x80:
        if field[0] != 0x80:
            raise ValueError("negative number")
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    if digits.strip(b"01234567"):
        raise ValueError(f"{digits!r} is not an octal number")
    return int(digits or b"0", 8)


def _name(header: bytes) -> str:
    name = header[:100].split(b"\0", 1)[0]
    if header[257:263] == b"ustar\0" and header[345] != 0:
        name = header[345:500].split(b"\0", 1)[0] + b"/" + name
    return name.decode("utf-8", "surrogateescape")


def _extension(read: Callable[[int, int], bytes], at: int, size: int, total: int, shard: str) -> bytes:
    if size > _EXTENSION_LIMIT:
        raise DataError(f"is damaged: an extended header of {size} bytes at byte {at}.", where=shard)
    if at + BLOCK + size > total:
        raise Truncated("ends in the middle of an extended header")
    return read(size, at + BLOCK)


def _pax(data: bytes, shard: str) -> dict[str, str]:
    """Records of `LENGTH KEY=VALUE newline`."""
    records, at = {}, 0
    while at < len(data) and data[at]:
        try:
            length = int(data[at : data.index(b" ", at)])
            key, separator, value = data[data.index(b" ", at) + 1 : at + length - 1].partition(b"=")
            if length < 5 or not separator or data[at + length - 1 : at + length] != b"\n":
                raise ValueError
        except ValueError:
            raise DataError("is damaged: an extended header cannot be read.", where=shard) from None
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        at += length
    return records


def _pax_size(pax: dict[str, str], size: int, shard: str, name: str) -> int:
    text = pax.get("size")
    if text is None:
        return size
    if not (text.isascii() and text.isdigit()):
        raise DataError(f"is damaged: the member {name!r} claims the size {text!r}.", where=shard)
    return int(text)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _checked(name: str, shard: str) -> str:
    """The name without a leading `./`. Raises DataError when it leaves the folder."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts:
        raise DataError(
            f"the member {name!r} leaves the folder.",
            where=shard,
            hint="The shard is refused; nothing was written.",
        )
    return "/".join(part for part in parts if part not in ("", "."))
