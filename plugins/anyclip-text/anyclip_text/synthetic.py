"""Captions of synthetic scenes: every factor is mentioned, the wording and its order vary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anyclip.errors import DataError, did_you_mean
from anyclip.readers.scenes import FACTORS

_OPENINGS = ("", "", "there is ", "this is ", "we see ", "here is ")
_HEARD = ("", "", "you hear ", "there is the sound of ", "we hear ")


def render(
    scene: Any,
    rng: np.random.Generator,
    *,
    factors: Sequence[str] | None = None,
    varied: bool = True,
) -> str:
    """A caption that mentions every factor of the scene that it knows.

    factors: mention only these. varied: False gives one fixed wording. The same rng state gives the same caption.
    """
    if factors is not None:
        unknown = [name for name in factors if name not in FACTORS]
        if unknown:
            hint = did_you_mean(unknown[0], FACTORS, noun="Factors")
            raise DataError(f"a caption knows no factor {unknown[0]!r}.", where="synthetic text", hint=hint)
    words = {
        name: str(value)
        for name, value in scene.factors.items()
        if name in FACTORS and (factors is None or name in factors)
    }
    pick = _Pick(rng if varied else None)
    parts = [part for part in (_seen(words, pick), _heard(words, pick)) if part]
    pick.shuffle(parts)
    return pick.of(", and ", ", ", " while ").join(parts) if parts else "something"


class _Pick:
    """Draws one of several wordings; without a generator always the first."""

    def __init__(self, rng: np.random.Generator | None):
        self.rng = rng

    def of(self, *choices: str) -> str:
        return choices[int(self.rng.integers(len(choices)))] if self.rng is not None else choices[0]

    def shuffle(self, parts: list[str]) -> None:
        if self.rng is not None:
            self.rng.shuffle(parts)  # type: ignore[arg-type]


def _seen(words: dict[str, str], pick: _Pick) -> str:
    """The object, where it is, on what, and what it does."""
    names = ("shape", "colour", "size", "position", "background", "motion", "then")
    if not any(name in words for name in names):
        return ""
    after = []
    if "position" in words:
        after.append(_where(words["position"], pick))
    if "background" in words:
        ground = _article(words["background"])
        after.append(pick.of(*(f"{word} {ground} background" for word in ("on", "in front of", "with"))))
    pick.shuffle(after)
    text = " ".join([_object(words, pick), *after])
    moves = [words[name] for name in ("motion", "then") if name in words]
    if moves:
        moved = pick.of(" and then ", ", then ", " followed by ").join(moves)
        text = pick.of(f"{text}, {moved}", f"{text} that is {moved}", f"{moved}: {text}")
    return pick.of(*_OPENINGS) + text


def _object(words: dict[str, str], pick: _Pick) -> str:
    shape = words.get("shape", pick.of("shape", "object", "thing"))
    before = [words[name] for name in ("size", "colour") if name in words]
    plain = _article(" ".join([*before, shape]))
    if not before:
        return plain
    return pick.of(
        plain,
        plain,
        _article(" ".join([*reversed(before), shape])),
        f"{_article(shape)}, {' and '.join(before)},",
        f"{_article(shape)} that is {' and '.join(reversed(before))}",
    )


def _where(position: str, pick: _Pick) -> str:
    if position == "centre":
        return pick.of("in the centre", "at the centre", "right in the centre")
    if position in ("left", "right"):
        return pick.of(f"on the {position}", f"on the {position} side", f"to the {position}")
    return pick.of(f"at the {position}", f"in the {position} part", f"near the {position}")


def _heard(words: dict[str, str], pick: _Pick) -> str:
    """The tone: loudness, pitch, timbre, contour, rhythm."""
    if not any(name in words for name in ("pitch", "timbre", "loudness", "rhythm", "contour")):
        return ""
    before = [words[name] for name in ("loudness", "pitch") if name in words]
    if "timbre" in words:
        before.append(words["timbre"])
    noun = pick.of("tone", "sound", "note")
    text = _article(" ".join([*before, noun]))
    after = []
    if "contour" in words:
        after.append(pick.of(f"that is {words['contour']}", words["contour"]))
    if "rhythm" in words:
        after.append(pick.of(f"played {words['rhythm']}", f"sounding {words['rhythm']}"))
    pick.shuffle(after)
    return pick.of(*_HEARD) + ", ".join([text, *after])


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
