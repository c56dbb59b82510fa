"""Which shards a `path` option names: braces, globs, folders, URLs and lists of these."""

from __future__ import annotations

import glob
import os
import re

from anyclip.errors import DataError
from anyclip.readers import paths

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"^(-?\d+|[a-zA-Z])\.\.(-?\d+|[a-zA-Z])(?:\.\.(-?\d+))?$")
LIMIT = 1_000_000


def expand_braces(text: str) -> list[str]:
    """`s-{000..002}.tar` -> three names, `{a,b}` -> two, as a shell does; zeros in front are kept.

    Raises DataError for braces that name more than a million shards.
    """
    done, rest = [], [text]
    while rest:
        current = rest.pop()
        found = next((m for m in _BRACES.finditer(current) if _choices(m[1]) is not None), None)
        if found is None:
            done.append(current)
        else:
            choices = _choices(found[1]) or []
            rest += [current[: found.start()] + choice + current[found.end() :] for choice in reversed(choices)]
        if len(done) + len(rest) > LIMIT:
            raise DataError(f"names more than {LIMIT:,} shards.", where=text)
    return done


def _choices(inside: str) -> list[str] | None:
    found = _RANGE.match(inside)
    if found is None:
        return inside.split(",") if "," in inside else None
    first, last, step = found[1], found[2], abs(int(found[3] or 1)) or 1
    if first.lstrip("-").isdigit() != last.lstrip("-").isdigit():
        return None
    if not first.lstrip("-").isdigit():
        a, b = ord(first), ord(last)
        return [chr(c) for c in range(a, b + (1 if b >= a else -1), step if b >= a else -step)]
    a, b = int(first), int(last)
    if abs(b - a) // step >= LIMIT:
        raise DataError(f"names more than {LIMIT:,} shards.", where=f"{{{inside}}}")
    zeros = any(len(t.lstrip("-")) > 1 and t.lstrip("-").startswith("0") for t in (first, last))
    width = max(len(first), len(last)) if zeros else 0
    return [f"{n:0{width}d}" for n in range(a, b + (1 if b >= a else -1), step if b >= a else -step)]


def find_shards(path: str | list[str], base: str | None) -> list[str]:
    """Absolute paths and URLs in the order given (globs and folders sorted).

    Raises DataError for a path that names nothing, is missing, or is named twice.
    """
    asked = [path] if isinstance(path, str) else list(path)
    found: list[str] = []
    for one in asked:
        named = [paths.absolute(name, base) for name in expand_braces(one)]
        missing = [
            name for name in named if not _is_pattern(name) and not paths.is_url(name) and not os.path.exists(name)
        ]
        if missing:
            error = paths.missing_file(missing[0], "shard")
            if len(missing) > 1:
                error = DataError(f"shard not found ({len(missing)} of {len(named)} are missing).", where=missing[0])
            raise error
        for name in named:
            found += _resolve(name)
    if not found:
        raise DataError("names no shard.", where=str(path))
    seen: set[str] = set()
    for name in found:
        if name in seen:
            raise DataError("the shard is named twice.", where=name)
        seen.add(name)
    return found


def _is_pattern(name: str) -> bool:
    return any(sign in name for sign in "*?[") and not os.path.exists(name)


def _resolve(name: str) -> list[str]:
    if paths.is_url(name):
        return _remote_glob(name) if "*" in name else [name]
    if _is_pattern(name):
        found = sorted(p for p in glob.glob(name, recursive=True) if os.path.isfile(p))
        if not found:
            raise DataError("no shard fits this pattern.", where=name)
        return found
    if os.path.isdir(name):
        names = sorted(os.listdir(name))
        found = [os.path.join(name, n) for n in names if n.endswith(".tar") and not n.startswith(".")]
        if not found:
            packed = [n for n in names if ".tar." in n or n.endswith(".tgz")]
            hint = f"It has {packed[0]}: compressed shards have no random access; unpack them once." if packed else None
            raise DataError("the folder holds no .tar file.", where=name, hint=hint)
        return found
    return [name]


def _remote_glob(url: str) -> list[str]:
    filesystem, pattern = paths.open_filesystem(url)
    try:
        found = sorted(filesystem.unstrip_protocol(name) for name in filesystem.glob(pattern))
    except Exception as error:  # every file system has exceptions of its own
        raise DataError(f"cannot be listed: {type(error).__name__}: {error}", where=url) from error
    if not found:
        raise DataError("no shard fits this pattern.", where=url)
    return found


def short_names(found: list[str]) -> list[str]:
    """Names for messages and sample ids: base names, or as much of the path as tells the shards apart."""
    parts = [name.replace("\\", "/").split("/") for name in found]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return found
