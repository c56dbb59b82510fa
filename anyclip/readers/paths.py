"""Paths and URLs of readers: against which folder they are taken, what a glob names, copies of remote files."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from anyclip.errors import DataError, nearest

_URL = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]+://")


def is_url(path: str) -> bool:
    return bool(_URL.match(path)) and not path.startswith("file://")


def absolute(path: str, base: str | os.PathLike[str] | None) -> str:
    """A URL as it is; `file://` and relative paths as an absolute path, relative to `base` (default: here)."""
    if is_url(path):
        return path
    path = os.path.expanduser(path.removeprefix("file://"))
    if base is not None and is_url(os.fspath(base)):
        return path if os.path.isabs(path) else join(os.fspath(base), path)
    return os.path.abspath(os.path.join(os.fspath(base) if base is not None else "", path))


def join(folder: str, path: str) -> str:
    """`path` inside `folder`, which may be a URL; absolute paths and URLs stay as they are."""
    if is_url(path) or os.path.isabs(path):
        return path
    if not is_url(folder):
        return os.path.normpath(os.path.join(folder, path))
    scheme, _, rest = folder.partition("://")
    return f"{scheme}://{posixpath.normpath(posixpath.join(rest, path))}"


def parent(path: str) -> str:
    return path.rpartition("/")[0] if is_url(path) else os.path.dirname(path)


def missing_file(path: str, what: str) -> DataError:
    """The error for a path that is not there, with the nearest name in its folder."""
    folder = Path(path).parent
    if not folder.is_dir():
        return DataError(f"{what} not found: the folder {folder} does not exist.", where=path)
    suffix = Path(path).suffix
    names = sorted(p.name for p in folder.iterdir() if p.suffix == suffix and not p.name.startswith("."))[:1000]
    close = nearest(Path(path).name, names)
    if close is None and not 0 < len(names) <= 10:
        return DataError(f"{what} not found.", where=path)
    hint = f"Did you mean {close}?" if close else f"There: {', '.join(names)}."
    return DataError(f"{what} not found.", where=path, hint=hint)


def require_file(path: str, what: str) -> None:
    """Raises DataError when a local path is not a readable file."""
    if not os.path.exists(path):
        raise missing_file(path, what)
    if os.path.isdir(path):
        raise DataError(f"is a folder, not a {what}.", where=path)
    if not os.access(path, os.R_OK):
        raise DataError("cannot be read: permission denied.", where=path, next=f"chmod u+r {path}")


def cache_folder(wanted: str | None = None) -> Path:
    """Where indexes and copies go: the option, ANYCLIP_CACHE, XDG_CACHE_HOME/anyclip or ~/.cache/anyclip."""
    if wanted:
        return Path(wanted)
    if folder := os.environ.get("ANYCLIP_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "anyclip"


def open_filesystem(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL and the path in it. Raises DataError naming what to install."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise DataError(f"cannot be opened: {error}", where=url) from error


def remote_stamp(url: str) -> dict[str, Any]:
    """What a file system says of a remote file: size, and whatever changes with its content. Raises DataError."""
    filesystem, path = open_filesystem(url)
    try:
        info = filesystem.info(path)
    except FileNotFoundError as error:
        raise DataError("not found.", where=url) from error
    except Exception as error:  # every file system has exceptions of its own
        raise DataError(f"cannot be read: {type(error).__name__}: {error}", where=url) from error
    keys = (
        "etag",
        "ETag",
        "mtime",
        "LastModified",
        "Last-Modified",
        "Content-MD5",
        "last_modified",
        "created",
        "md5Hash",
    )
    stamp = {key: str(info[key]) for key in keys if info.get(key)}
    return {"size": info.get("size"), **stamp}


def fetch(url: str, folder: Path) -> str:
    """Copy a remote file into `folder` once; later calls return the same copy while size and time stamps agree."""
    stamp = remote_stamp(url)
    digest = hashlib.blake2b(f"{url}:{sorted(stamp.items())}".encode(), digest_size=12).hexdigest()
    target = folder / "files" / digest / posixpath.basename(url.rstrip("/"))
    if target.exists() and len(stamp) > 1 and target.stat().st_size == stamp["size"]:
        return str(target)
    filesystem, path = open_filesystem(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        filesystem.get_file(path, str(part))
        os.replace(part, target)
    except Exception as error:
        raise DataError(f"cannot be copied: {type(error).__name__}: {error}", where=url) from error
    finally:
        part.unlink(missing_ok=True)
    return str(target)


def digest_file(path: str, *, block: int = 1 << 16, whole: int = 1 << 26) -> str:
    """Digest of a file's content: all of it up to 64 MiB, else its size and 256 blocks of 64 KiB from first to last.

    Content, not time stamps: a folder that was copied is still the same data. An edit of a large file that keeps its
    size and falls between the blocks is not seen; that price buys an answer in milliseconds for any size.
    """
    size = os.path.getsize(path)
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with open(path, "rb") as file:
        if size <= whole:
            while data := file.read(1 << 20):
                digest.update(data)
        else:
            for i in range(256):
                file.seek((size - block) * i // 255)
                digest.update(file.read(block))
    return digest.hexdigest()
