"""Sweet Home 3D's furniture: meshes as coloured point clouds, with an icon and a name."""

from __future__ import annotations

import io
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from anyclip_pointcloud.decode import decode
from packages import unpack
from PIL import Image
from tables import split_of, write_manifest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from make_files import write_pointcloud

from anyclip.errors import BadSample

POINTS, ICON = 2048, 128


def prepare(out: Path, cache: Path) -> None:
    """OUT/{points,icon}/ and manifest.jsonl; the creator of each object stands in its row (CC0 and CC-BY-3.0)."""
    for name in ("points", "icon"):
        (out / name).mkdir(parents=True, exist_ok=True)
    root = unpack("sweethome3d-furniture", cache)
    write_manifest(out, (row for file in sorted(root.rglob("*.sh3f")) for row in _library(out, file)))


def _library(out: Path, file: Path) -> Iterator[dict[str, Any]]:
    with zipfile.ZipFile(file) as archive:
        catalogue = _properties(archive.read("PluginFurnitureCatalog.properties").decode("latin-1"))
        numbers = sorted(int(key.partition("#")[2]) for key in catalogue if key.startswith("name#"))
        for number in numbers:
            get = lambda key, n=number: catalogue.get(f"{key}#{n}", "")  # noqa: E731
            name = f"{re.sub(r'[^a-z0-9]+', '-', file.stem.lower())}-{number:03d}"
            points = _points(archive, get("model").lstrip("/"))
            if points is None:
                print(f"{file.name} {get('name')}: {get('model')} cannot be sampled, left out")
                continue
            write_pointcloud(points, out / "points" / name)
            with Image.open(io.BytesIO(archive.read(get("icon").lstrip("/")))) as icon:
                page = Image.new("RGBA", icon.size, "white")
                page.alpha_composite(icon.convert("RGBA"))
                page.convert("RGB").resize((ICON, ICON)).save(out / "icon" / f"{name}.jpg", quality=88)
            yield {
                "id": name,
                "split": split_of(get("name")),
                "group": get("name").lower(),
                "category": get("category"),
                "points": f"points/{name}.ply",
                "image": f"icon/{name}.jpg",
                "text": get("name"),
                "creator": get("creator"),
                "library": file.stem,
            }


def _points(archive: zipfile.ZipFile, model: str) -> dict[str, np.ndarray] | None:
    """Surface samples in the unit sphere with the colours of the materials; None where the mesh cannot be read."""
    with tempfile.TemporaryDirectory() as folder:
        for member in archive.namelist():
            if Path(member).parent == Path(model).parent and not member.endswith("/"):
                archive.extract(member, folder)
        try:
            cloud = decode(str(Path(folder) / model), surface=POINTS)
        except BadSample:
            return None
    centred = cloud.points - (cloud.points.min(axis=0) + cloud.points.max(axis=0)) / 2
    centred = centred / max(float(np.linalg.norm(centred, axis=1).max()), 1e-9)
    colors = cloud.colors if cloud.colors is not None else np.full(centred.shape, 0.6)
    return {"points": centred.astype(np.float32), "colors": np.asarray(colors, dtype=np.float32)}


def _properties(text: str) -> dict[str, str]:
    """Java's properties: `key=value` lines with \\uXXXX escapes."""
    found = {}
    for line in text.splitlines():
        key, separator, value = line.partition("=")
        if separator and not line.lstrip().startswith(("#", "!")):
            found[key.strip()] = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), value.strip())
    return found
