"""Debian packages, downloaded and unpacked without being installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def unpack(name: str, cache: Path) -> Path:
    """The folder with the package's files, under `cache`; downloaded once. Exits with the reason when it cannot be."""
    out = cache / name
    if (out / ".done").is_file():
        return out
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            sys.exit(f"{name}: needs {tool} (Debian, Ubuntu), or unpack the package into {out} and create {out}/.done")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    done = subprocess.run(["apt-get", "download", name], cwd=out, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr.strip().splitlines()[-1]}\n  next: apt-get update")
    for package in out.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, out], check=True)
        package.unlink()
    (out / ".done").touch()
    return out
