"""Tux Paint's stamps: a picture with a caption, often a spoken description in French, sometimes a sound."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packages import unpack
from PIL import Image
from tables import split_of, write_manifest

LONGEST = 192  # pixels


def prepare(out: Path, cache: Path) -> None:
    """OUT/{image,speech_fr,effect}/ and manifest.jsonl. Vector stamps (svg) are left out."""
    for name in ("image", "speech_fr", "effect"):
        (out / name).mkdir(parents=True, exist_ok=True)
    write_manifest(out, _rows(out, stamps(cache)))


def stamps(cache: Path) -> Path:
    return unpack("tuxpaint-stamps-default", cache) / "usr" / "share" / "tuxpaint" / "stamps"


def _rows(out: Path, root: Path) -> Iterator[dict[str, Any]]:
    for picture in sorted(root.rglob("*.png")):
        described = captions(picture.with_suffix(".txt"))
        if described is None:
            continue
        name = re.sub(r"[^a-z0-9]+", "-", str(picture.relative_to(root).with_suffix("")).lower())
        group = described["en"].strip(" .!").lower()
        on_white(picture, LONGEST).save(out / "image" / f"{name}.jpg", quality=88)
        yield {
            "id": name,
            "split": split_of(group),
            "group": group,
            "category": str(picture.parent.relative_to(root)),
            "image": f"image/{name}.jpg",
            "text": described["en"],
            "text_fr": described.get("fr"),
            "speech_fr": _sound(picture, "_desc_fr", out, f"speech_fr/{name}"),
            "effect": _sound(picture, "", out, f"effect/{name}"),
        }


def captions(path: Path) -> dict[str, str] | None:
    """Language -> sentence: English is the first line, others are `fr.utf8=...`."""
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or not lines[0].strip():
        return None
    found = {"en": lines[0].strip()}
    for line in lines[1:]:
        language, _, text = line.partition(".utf8=")
        if text.strip():
            found[language] = text.strip()
    return found


def on_white(picture: Path, longest: int) -> Image.Image:
    image = Image.open(picture).convert("RGBA")
    page = Image.new("RGBA", image.size, "white")
    page.alpha_composite(image)
    page.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return page.convert("RGB")


def _sound(picture: Path, ending: str, out: Path, name: str) -> str | None:
    for suffix in (".ogg", ".wav"):
        source = picture.with_name(picture.stem + ending + suffix)
        if source.is_file():
            shutil.copyfile(source, out / (name + suffix))
            return name + suffix
    return None
