"""The learnable spectrogram of `audio/esresnext`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from anyclip_audio.fbsp import Fbsp, blackman_harris, frames_of, norm_loss


def test_the_spectrogram_starts_as_a_fourier_transform():
    fbsp = Fbsp(64)
    kernels = fbsp.kernels()
    assert norm_loss(kernels).item() == pytest.approx(0.0, abs=1e-6)
    bins = torch.arange(33, dtype=torch.float32)[:, None] * fbsp.time()
    want = torch.stack([torch.cos(bins), -torch.sin(bins)], dim=-1) / 8
    torch.testing.assert_close(kernels, want, atol=1e-5, rtol=0)
    norm_loss(kernels).backward()
    assert all(torch.isfinite(p.grad).all() for p in (fbsp.m, fbsp.fb))


def test_window_and_frames():
    scipy = pytest.importorskip("scipy.signal")
    np.testing.assert_allclose(blackman_harris(1654), scipy.get_window("blackmanharris", 1654), atol=1e-7)
    wave = torch.arange(1.0, 11.0)[None]
    frames = frames_of(wave, torch.ones(4), 3, 6)
    assert frames.tolist()[0] == [[0, 1, 2, 3, 4, 0], [0, 4, 5, 6, 7, 0], [0, 7, 8, 9, 10, 0]]
    assert frames_of(wave[:, :9], torch.ones(4), 3, 4).tolist()[0] == [[1, 2, 3, 4], [4, 5, 6, 7], [7, 8, 9, 0]]
    assert frames_of(wave[:, :2], torch.ones(4), 3, 4).tolist()[0] == [[0, 1, 2, 0]]
