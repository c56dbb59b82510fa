"""Scenes of the synthetic reader: the vocabulary of factors, and one scene as the values it takes.

A modality's renderer (`ModalitySpec.synthetic`, called as `render(scene, rng, **options)`) reads `scene.factors`:
factor name -> value, both English words from `FACTORS` below. A renderer shows the factors it can show, ignores those
it cannot, and must take every factor as optional (a config may select any subset). `rng` is for what is not described:
jitter, noise, phase. No torch, no modality in here.

| factor     | meaning for a renderer                                                                             |
|------------|----------------------------------------------------------------------------------------------------|
| shape      | the object: circle, square, triangle, star, diamond, cross, heart, ring (a circle with a hole)      |
| colour     | colour of the object; RGB in COLOURS; never a background colour                                     |
| size       | extent of the object as a share of the canvas: SIZES                                                |
| position   | centre of the object: POSITIONS, (x, y) in 0..1, x to the right, y DOWN                             |
| background | plain colour behind the object; RGB in COLOURS                                                      |
| motion     | what the object does in the first half of the time (all of it when `then` is absent): MOTIONS       |
| then       | what it does in the second half, going on from where the first left it: MOTIONS                     |
| pitch      | fundamental frequency in Hz: PITCHES (the start of the tone when `contour` glides)                   |
| timbre     | instrument-like spectrum: TIMBRES                                                                   |
| loudness   | peak amplitude, 0..1: LOUDNESS                                                                      |
| rhythm     | onsets of the tone: RHYTHMS                                                                         |
| contour    | what the pitch does within each tone: CONTOURS                                                      |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 30, 30),
    "orange": (245, 140, 20),
    "yellow": (245, 225, 40),
    "green": (30, 160, 50),
    "cyan": (40, 205, 215),
    "blue": (35, 70, 220),
    "purple": (130, 45, 170),
    "pink": (250, 130, 190),
    "white": (250, 250, 250),
    "grey": (128, 128, 128),
    "black": (8, 8, 8),
    "brown": (105, 65, 30),
}
"""Name -> RGB, 0..255; the first eight are object colours, the last four backgrounds."""

SIZES: dict[str, float] = {"small": 0.2, "medium": 0.34, "large": 0.5}
"""Name -> width of the object as a share of the canvas."""

POSITIONS: dict[str, tuple[float, float]] = {
    "centre": (0.5, 0.5),
    "left": (0.25, 0.5),
    "right": (0.75, 0.5),
    "top": (0.5, 0.25),
    "bottom": (0.5, 0.75),
    "top left": (0.25, 0.25),
    "top right": (0.75, 0.25),
    "bottom left": (0.25, 0.75),
    "bottom right": (0.75, 0.75),
}
"""Name -> (x, y) of the object's centre in 0..1; y grows downwards."""

MOTIONS: dict[str, dict[str, float]] = {
    "standing still": {},
    "moving left": {"x": -0.3},
    "moving right": {"x": 0.3},
    "moving up": {"y": -0.3},
    "moving down": {"y": 0.3},
    "growing": {"scale": 2.0},
    "shrinking": {"scale": 0.5},
    "turning left": {"turn": -180.0},
    "turning right": {"turn": 180.0},
}
"""Name -> change over one half of the time: x, y in canvas widths, scale as a factor, turn in degrees clockwise."""

PITCHES: dict[str, float] = {
    "very low": 110.0,
    "low": 155.6,
    "fairly low": 220.0,
    "medium low": 311.1,
    "medium high": 440.0,
    "fairly high": 622.3,
    "high": 880.0,
    "very high": 1244.5,
}
"""Name -> fundamental frequency in Hz; half an octave apart."""

TIMBRES = ("flute", "organ", "bell", "horn", "string", "buzzer", "whistle", "drum")
"""flute: nearly a sine; organ: octaves; bell: inharmonic, decaying; horn: strong low harmonics; string: saw with a
decay; buzzer: square; whistle: sine with vibrato; drum: a falling sine in noise, short."""

LOUDNESS: dict[str, float] = {"quiet": 0.1, "moderate": 0.3, "loud": 0.9}
"""Name -> peak amplitude, 0..1."""

RHYTHMS: dict[str, tuple[float, ...]] = {
    "once": (0.0,),
    "slowly": (0.0, 0.5),
    "quickly": (0.0, 0.2, 0.4, 0.6, 0.8),
    "unevenly": (0.0, 0.15, 0.6, 0.75),
}
"""Name -> onsets as shares of the clip; a tone lasts until just before the next onset."""

CONTOURS: dict[str, float] = {"steady": 1.0, "rising": 2.0, "falling": 0.5}
"""Name -> frequency at the end of a tone over that at its start."""

FACTORS: dict[str, tuple[str, ...]] = {
    "shape": ("circle", "square", "triangle", "star", "diamond", "cross", "heart", "ring"),
    "colour": tuple(COLOURS)[:8],
    "size": tuple(SIZES),
    "position": tuple(POSITIONS),
    "background": tuple(COLOURS)[8:],
    "motion": tuple(MOTIONS),
    "then": tuple(MOTIONS),
    "pitch": tuple(PITCHES),
    "timbre": TIMBRES,
    "loudness": tuple(LOUDNESS),
    "rhythm": tuple(RHYTHMS),
    "contour": tuple(CONTOURS),
}
"""Every factor with its values, in the order that numbers the combinations."""

DEFAULT_FACTORS = ("shape", "colour", "size", "position", "background")
"""8 x 8 x 3 x 9 x 4 = 6,912 scenes."""

COUPLED: dict[str, str] = {"timbre": "shape", "pitch": "colour", "loudness": "size", "rhythm": "background"}
"""What is heard -> what is seen: with `couple`, the first follows the second, value by value, when both are drawn.
So two streams that show no common factor (one only seen, one only heard) can still be matched."""


@dataclass(frozen=True)
class Scene:
    """One scene: factor -> value (words of `FACTORS`), and the number of its combination."""

    factors: Mapping[str, str]
    number: int = 0

    def describe(self) -> str:
        """The scene in plain English; every factor it has is mentioned, those it lacks are not.

        `a large red star at the top left on a white background, moving left and then growing,
        with a loud high flute tone, rising, sounding quickly`
        """
        parts = [part for part in (self._object(), self._motion(), self._sound()) if part]
        return ", ".join(parts) if parts else "nothing"

    def _object(self) -> str:
        get = self.factors.get
        if not any(name in self.factors for name in DEFAULT_FACTORS):
            return "something" if "motion" in self.factors or "then" in self.factors else ""
        words = [get("size", ""), get("colour", ""), get("shape", "thing")]
        text = _article(" ".join(word for word in words if word))
        if "position" in self.factors:
            text += f" {_WHERE[self.factors['position']]}"
        if "background" in self.factors:
            text += f" on {_article(self.factors['background'])} background"
        return text

    def _motion(self) -> str:
        steps = [self.factors[name] for name in ("motion", "then") if name in self.factors]
        return " and then ".join(steps)

    def _sound(self) -> str:
        get = self.factors.get
        heard = [name for name in ("pitch", "timbre", "loudness", "rhythm", "contour") if name in self.factors]
        if not heard:
            return ""
        words = [get("loudness", ""), get("pitch", ""), get("timbre", ""), "tone"]
        text = _article(" ".join(word for word in words if word))
        if len(heard) < len(self.factors):
            text = f"with {text}"
        for name, verb in (("contour", ""), ("rhythm", "sounding ")):
            if name in self.factors:
                text += f", {verb}{self.factors[name]}"
        return text


_WHERE = {name: "in the centre" if name == "centre" else f"on the {name}" for name in ("centre", "left", "right")} | {
    name: f"at the {name}" for name in POSITIONS if name not in ("centre", "left", "right")
}


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
