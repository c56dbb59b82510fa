"""Speed of sounds in training; the other parts are tested with the processor."""

from __future__ import annotations

import numpy as np
import pytest
from anyclip_audio.augment import Augment, played_rate
from anyclip_audio.front import Front
from anyclip_audio.options import HtsatOptions
from anyclip_audio.processor import AudioProcessor

from anyclip.errors import UserError
from anyclip.registry import get_registry

RATE = 16_000


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def processor(**options) -> AudioProcessor:
    front = Front(sample_rate=RATE, seconds=1.0, n_fft=0, short="pad")
    return AudioProcessor(front, HtsatOptions(**options))


def loudest(wave: np.ndarray) -> float:
    """Hz of the strongest partial."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(spectrum.argmax() * RATE / len(wave))


def test_speed_moves_the_pitch_within_its_range():
    tone = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * RATE) / RATE)).astype(np.float32), RATE
    fast = processor(speed=0.2, train_crop="same")
    heard = [loudest(fast.load(tone, rng=rng(seed))["x"][0].numpy()[: RATE // 2]) for seed in range(20)]
    assert 790 < min(heard) < 900
    assert 1100 < max(heard) < 1210
    assert loudest(fast.load(tone)["x"][0].numpy()) == pytest.approx(1000, abs=2)
    assert fast.load(tone, rng=rng(1))["x"].shape == (1, RATE)
    assert not fast.deterministic


def test_the_rate_is_drawn_only_where_asked():
    generator = rng(0)
    assert played_rate(RATE, generator, Augment()) == RATE
    assert generator.random() == rng(0).random()
    rates = {played_rate(RATE, rng(seed), Augment(speed=0.1)) for seed in range(50)}
    assert min(rates) >= 0.9 * RATE
    assert max(rates) <= 1.1 * RATE
    assert len(rates) > 40


def test_speed_has_a_range():
    with pytest.raises(UserError, match="speed"):
        get_registry().build_options("tower", "audio/htsat", {"speed": 0.6})
