"""Moving stamps: short videos whose captions name the object and its motion; some go out and back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from anyclip_video.writing import write_video
from PIL import Image
from tables import split_of, write_manifest
from tuxpaint import captions, stamps

SIZE, FRAMES, FPS, PER_STAMP = 96, 16, 8.0, 4
# name -> (words, x and y moved, scale at the end, degrees turned)
MOVES: dict[str, tuple[str, float, float, float, float]] = {
    "left": ("moving left", -0.5, 0, 1, 0),
    "right": ("moving right", 0.5, 0, 1, 0),
    "up": ("moving up", 0, -0.5, 1, 0),
    "down": ("moving down", 0, 0.5, 1, 0),
    "grow": ("getting bigger", 0, 0, 2, 0),
    "shrink": ("getting smaller", 0, 0, 0.5, 0),
    "cw": ("spinning clockwise", 0, 0, 1, -360),
    "ccw": ("spinning counterclockwise", 0, 0, 1, 360),
}
BACK = {"left": "right", "right": "left", "up": "down", "down": "up", "grow": "shrink", "shrink": "grow"}


def prepare(out: Path, cache: Path, *, stamps_used: int = 120) -> None:
    """OUT/video/*.mp4 and manifest.jsonl; `ordered` rows go out and back."""
    (out / "video").mkdir(parents=True, exist_ok=True)
    write_manifest(out, _rows(out, stamps(cache), stamps_used))


def _rows(out: Path, root: Path, most: int) -> Iterator[dict[str, Any]]:
    pictures: dict[str, Path] = {}
    for picture in sorted(root.rglob("*.png")):
        described = captions(picture.with_suffix(".txt"))
        words = described["en"].strip(" .!").lower() if described else ""
        if 1 < len(words.split()) <= 4 and words.split()[0] in ("a", "an"):
            pictures.setdefault(words, picture)
    for words, picture in sorted(pictures.items(), key=lambda item: _digest(item[0]))[:most]:
        rng = np.random.default_rng(_digest(words))
        for move in rng.choice([*MOVES, *(f"{a}-{b}" for a, b in BACK.items())], PER_STAMP, replace=False):
            name = f"{picture.stem}-{_digest(words) % 10**6}-{move}"
            frames = _frames(Image.open(picture).convert("RGBA"), str(move), rng)
            (out / "video" / f"{name}.mp4").write_bytes(write_video(frames, FPS))
            first, _, second = str(move).partition("-")
            told = MOVES[first][0] + (f" and then {MOVES[second][0].removeprefix('moving ')}" if second else "")
            yield {
                "id": name,
                "split": split_of(words),
                "group": words,
                "motion": str(move),
                "ordered": bool(second),
                "video": f"video/{name}.mp4",
                "text": f"{words} {told}",
            }


def _frames(stamp: Image.Image, move: str, rng: np.random.Generator) -> np.ndarray:
    """uint8 [FRAMES, SIZE, SIZE, 3]: the stamp on a soft gradient with noise."""
    stamp.thumbnail((96, 96))
    ends = rng.integers(90, 240, (2, 3))
    ramp = np.linspace(0, 1, SIZE)[:, None, None]
    ground = ends[0] * (1 - ramp) + ends[1] * ramp + rng.normal(0, 4, (SIZE, SIZE, 3))
    page = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    first, _, second = move.partition("-")
    _, x, y, scale, turn = MOVES[first]
    frames = []
    for time in np.linspace(0, 1, FRAMES):
        done = 1 - abs(2 * time - 1) if second else time
        extent = max(8, round(0.4 * SIZE * scale**done))
        shown = stamp.rotate(turn * done).resize((extent, extent))
        frame = page.copy()
        centre = [SIZE * (0.5 + way * (done - 0.5)) for way in (x, y)]
        frame.paste(shown, (round(centre[0] - extent / 2), round(centre[1] - extent / 2)), shown)
        frames.append(np.asarray(frame))
    return np.stack(frames)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")
