"""Writes that are whole or not there at all: a temporary name, fsync, rename."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

TEMPORARY = ".writing-"
OLD = ".old-"


def write_atomic(folder: str | Path, writer: Callable[[Path], None]) -> Path:
    """Make `folder` by calling `writer(temporary folder)`; it appears complete, or not at all.

    Every file is fsynced before the rename, so that a power cut cannot leave an empty file behind a finished name. An
    existing `folder` is replaced. When `writer` or the disk fails, the temporary folder is removed and the error goes
    on to the caller; what was there before is untouched.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.parent / f"{TEMPORARY}{folder.name}"
    aside = folder.parent / f"{OLD}{folder.name}"
    remove_unfinished(folder.parent, name=folder.name)
    try:
        temporary.mkdir()
        writer(temporary)
        _sync_tree(temporary)
        if folder.exists():
            folder.rename(aside)
        temporary.rename(folder)
        _sync(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)
    return folder


def write_text_atomic(path: str | Path, text: str) -> None:
    """Replace a small file in one step; readers see the old text or the new one."""
    path = Path(path)
    temporary = path.parent / f"{TEMPORARY}{path.name}"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def remove_unfinished(folder: str | Path, *, name: str = "*") -> list[str]:
    """Delete what a killed writer left in `folder`; returns the names.

    A folder that was set aside for its replacement comes back when the replacement had not been renamed yet.
    """
    folder = Path(folder)
    for aside in folder.glob(f"{OLD}{name}"):
        original = folder / aside.name.removeprefix(OLD)
        if original.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(original)
    left = sorted(folder.glob(f"{TEMPORARY}{name}"))
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return [p.name for p in left]


def _sync_tree(folder: Path) -> None:
    for root, _, files in os.walk(folder):
        for name in files:
            _sync(Path(root) / name)
        _sync(Path(root))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
