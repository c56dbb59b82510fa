"""Videos of synthetic scenes: the object moves, first one way and then another; a sound track on request."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from anyclip_image.synthetic import picture, speckled, tinted

from anyclip.errors import UserError
from anyclip.readers import Blob
from anyclip.readers.scenes import COLOURS, MOTIONS, POSITIONS, SIZES
from anyclip.registry import get_registry
from anyclip.registry.registry import resolve
from anyclip_video.writing import write_video

_DEFAULTS = {"shape": "circle", "colour": "grey", "size": "medium", "position": "centre", "background": "white"}
_SMALLEST, _LARGEST = 0.1, 0.9  # extent of the object, in shares of the canvas
_MARGIN = 0.02  # of the canvas that stays free
_CORNERS = 1.25  # of a turning shape, how far from its centre, in halves of its extent


def render(
    scene: Any,
    rng: np.random.Generator,
    *,
    size: int = 64,
    frames: int = 16,
    fps: float = 8.0,
    noise: float = 0.02,
    jitter: float = 0.03,
    turn: float = 12.0,
    tint: float = 0.06,
    file: bool = False,
    sound: bool = False,
) -> tuple[np.ndarray, float] | Blob:
    """(uint8 [frames, size, size, 3], fps), or with `file` or `sound` the bytes of an mp4 file.

    Shows `shape`, `colour`, `size`, `position`, `background`, `motion` and `then`; others are heard (`sound`) or
    ignored, one that is absent takes a plain default (standing still). `position` is that of the first frame, as far as
    the whole path stays on the canvas; a path or growth too long for it is shortened. The rest comes from `rng`:
    noise, jitter, turn and tint as for pictures, the same in every frame but for the noise. sound: a track rendered by
    the modality `audio`.
    """
    factors = {name: scene.factors.get(name, default) for name, default in _DEFAULTS.items()}
    x, y = POSITIONS[factors["position"]]
    shift_x, shift_y, grow = rng.uniform(-jitter, jitter, 3)
    angle = math.radians(rng.uniform(-turn, turn))
    back = tinted(COLOURS[factors["background"]], rng, tint)
    colour = tinted(COLOURS[factors["colour"]], rng, tint)
    states = path(scene.factors.get("motion"), scene.factors.get("then"), frames)
    reach = _CORNERS if states[:, 3].any() else 1.0
    extents = _extents(states[:, 2], SIZES[factors["size"]] * (1 + grow), _LARGEST / reach)
    xs, ys = (_centres(states[:, axis], at, reach * extents) for axis, at in ((0, x + shift_x), (1, y + shift_y)))
    clip = np.stack(
        [
            speckled(picture(factors["shape"], colour, back, (cx, cy), extent, angle + spin, size), rng, noise)
            for cx, cy, extent, spin in zip(xs, ys, extents, np.radians(states[:, 3]))
        ]
    )
    if not (file or sound):
        return clip, fps
    track = _audio_renderer()(scene, rng, seconds=frames / fps) if sound else None
    return Blob(write_video(clip, fps, track), "scene.mp4")


def path(motion: str | None, then: str | None, frames: int) -> np.ndarray:
    """float [frames, 4]: x and y moved so far (canvas widths), scale, degrees turned, as `MOTIONS` has them.

    Without `then` the first motion takes all of the time.
    """
    time = np.linspace(0, 1, frames) if frames > 1 else np.zeros(1)
    parts = ((motion, time),) if then is None else ((motion, 2 * time), (then, 2 * time - 1))
    state = np.tile([0.0, 0.0, 1.0, 0.0], (frames, 1))
    for name, progress in parts:
        change, done = MOTIONS[name or "standing still"], progress.clip(0, 1)
        state[:, 0] += done * change.get("x", 0.0)
        state[:, 1] += done * change.get("y", 0.0)
        state[:, 2] *= change.get("scale", 1.0) ** done
        state[:, 3] += done * change.get("turn", 0.0)
    return state


def _extents(scales: np.ndarray, extent: float, largest: float) -> np.ndarray:
    """Widths over time; the start is changed where they would leave what can be seen."""
    extents = extent * scales
    extents = extents * min(1.0, largest / extents.max())
    return np.maximum(extents, _SMALLEST)


def _centres(moved: np.ndarray, start: float, extents: np.ndarray) -> np.ndarray:
    """Centres along one axis; the whole object stays on the canvas."""
    room = 1 - 2 * _MARGIN - float(extents.max())
    span = float(moved.max() - moved.min())
    moved = moved * min(1.0, room / span) if span else moved
    low, high = (start + moved - extents / 2).min(), (start + moved + extents / 2).max()
    return start + moved + max(0.0, _MARGIN - low) - max(0.0, high - 1 + _MARGIN)


@functools.cache
def _audio_renderer() -> Callable[..., Any]:
    registry = get_registry()
    able = {p.spec.name for p in registry.parts("modality") if getattr(p.spec, "synthetic", None)}
    if "audio" not in able:
        raise UserError(
            "the sound track of a synthetic video is made by the modality audio, which is not installed.",
            where="synthetic",
            hint="Leave out `sound: true`.",
            next="pip install anyclip-audio",
        )
    return resolve(registry.modality("audio").synthetic or "")
