"""Sounds of synthetic scenes: a tone with the scene's pitch, timbre, loudness, rhythm and contour."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from anyclip.readers.scenes import CONTOURS, LOUDNESS, PITCHES, RHYTHMS

# harmonic number -> amplitude
_PARTIALS: dict[str, dict[float, float]] = {
    "flute": {1: 1.0, 2: 0.06, 3: 0.03},
    "organ": {1: 1.0, 2: 0.7, 4: 0.5, 8: 0.3},
    "bell": {1: 1.0, 2.76: 0.6, 5.4: 0.4, 8.93: 0.25},
    "horn": {1: 0.7, 2: 1.0, 3: 0.8, 4: 0.5, 5: 0.2},
    "string": {n: 1.0 / n for n in range(1, 13)},
    "buzzer": {n: 1.0 / n for n in range(1, 20, 2)},
    "whistle": {1: 1.0},
    "drum": {1: 1.0},
}
_DECAY = {"bell": 5.0, "string": 3.0, "drum": 14.0}  # per second


def render(
    scene: Any,
    rng: np.random.Generator,
    *,
    rate: int = 16_000,
    seconds: float = 1.5,
    noise: float = 0.003,
    detune: float = 0.02,
) -> tuple[np.ndarray, int]:
    """(samples float32 [T], rate) of what can be heard of a scene.

    noise: amplitude of the hiss under the tone. detune: largest relative change of the pitch; half an octave apart,
    pitches stay distinct. Factors that are absent: a middle pitch, a flute, moderate, once, steady.
    """
    get = scene.factors.get
    pitch = PITCHES.get(get("pitch", ""), 400.0) * (1 + detune * rng.uniform(-1, 1))
    timbre = get("timbre", "flute")
    onsets = RHYTHMS.get(get("rhythm", ""), (0.0,))
    glide = CONTOURS.get(get("contour", ""), 1.0)
    total = round(seconds * rate)
    samples = np.zeros(total)
    bounds = [*onsets, 1.0]
    for begin, end in itertools.pairwise(bounds):
        start, stop = round(begin * total), round((begin + 0.9 * (end - begin)) * total)
        samples[start:stop] = _tone(timbre, pitch, glide, stop - start, rate, rng)
    samples *= LOUDNESS.get(get("loudness", ""), LOUDNESS["moderate"]) / max(float(np.abs(samples).max()), 1e-9)
    samples += noise * rng.standard_normal(total)
    return samples.astype(np.float32), rate


def _tone(timbre: str, pitch: float, glide: float, count: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """One tone with a soft edge of 10 ms; the frequency runs from `pitch` to `glide` times it."""
    time = np.arange(count) / rate
    share = np.arange(count) / max(count, 1)
    frequency = pitch * glide**share
    if timbre == "drum":
        frequency = frequency * (0.5 + np.exp(-30 * time))
    phase = 2 * np.pi * np.cumsum(frequency) / rate
    if timbre == "whistle":
        phase = phase + 1.5 * np.sin(2 * np.pi * 6.0 * time)
    tone = np.zeros(count)
    for number, amplitude in _PARTIALS.get(timbre, _PARTIALS["flute"]).items():
        audible = number * frequency < 0.45 * rate  # no aliasing
        tone += amplitude * audible * np.sin(number * phase + rng.uniform(0, 2 * np.pi))
    if timbre == "drum":
        tone += 0.6 * rng.standard_normal(count) * np.exp(-40 * time)
    tone *= np.exp(-_DECAY.get(timbre, 0.0) * time)
    edge = min(count // 2, round(0.01 * rate))
    if edge:
        ramp = np.linspace(0, 1, edge)
        tone[:edge] *= ramp
        tone[-edge:] *= ramp[::-1]
    return tone
