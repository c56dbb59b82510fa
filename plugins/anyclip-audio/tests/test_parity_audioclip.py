"""`audio/esresnext` against recorded values of AudioCLIP."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from anyclip_audio.fbsp import Fbsp, blackman_harris, frames_of, norm_loss
from torch.nn import functional as F

from anyclip.towers.create import create_tower

from . import golden

NAMES = ("conv1", "bn1", "maxpool", "layer1", "att1", "layer2", "att2", "layer4", "att4", "avgpool", "att5", "fc")
LOOSE = ("min", "max")


@pytest.fixture(scope="module")
def system():
    data = golden.load("audioclip")
    tower = create_tower("audio/esresnext", output="projected").eval()
    own = tower.model.state_dict()
    drawn = golden.draw(data, lambda name: own.get(name.removeprefix("audio.")))
    state = {n.removeprefix("audio."): v for n, v in drawn.items() if n.startswith("audio.") and v.numel()}
    missing = set(own) - set(state)
    assert set(state) <= set(own)
    assert all(n == "window" or n.endswith("num_batches_tracked") for n in missing), sorted(missing)[:4]
    tower.model.load_state_dict({**own, **state})
    return data, tower


def test_preprocessing(system):
    data, tower = system
    for entry, value in zip(data["inputs"], golden.waves(data).values()):
        x = tower.processor.load(value)["x"] * entry["scaled_by"]
        want = entry["after_eval_transforms"]
        assert list(x.shape) == want["shape"]
        np.testing.assert_allclose(x[0, :4], want["first4"], rtol=1e-6)
        np.testing.assert_allclose(x[0, -4:], want["last4"], rtol=1e-6)
        assert float(x.double().abs().sum()) == pytest.approx(want["sum_abs"], rel=1e-6)
        assert float(x[0, x.shape[1] // 2]) == pytest.approx(want["mid"], rel=1e-6)


def test_embeddings_and_checkpoints(system):
    data, tower = system
    inputs = tower.processor.collate([tower.processor.load(value) for value in golden.waves(data).values()])
    with torch.no_grad(), golden.Watch(tower.model, {n: n for n in (*NAMES, "fbsp")}) as seen:
        encoding = tower(inputs)
        image, _ = tower.model.image(inputs["x"])
    recorded = data["checkpoints"]
    golden.close_statistics(seen.pop("fbsp"), recorded["audio.fbsp"], "audio.fbsp")
    # the file states its own tolerance from the decibels on: 1e-3 of the rms, extremes 1e-2
    golden.close_statistics(image, recorded["x_db"], "x_db", share=1e-3, loose=dict.fromkeys(LOOSE, 1e-2))
    means = image.mean(dim=(0, 2, 3))
    np.testing.assert_allclose(means, recorded["x_db_channel_means"], rtol=1e-4)
    assert len(seen) == len(NAMES)
    for name, tensor in seen.items():
        corners = dict.fromkeys(("[-1,0]", "[-1,-1]"), 5e-3) if tensor.ndim == 2 else {}  # the padded clip
        loose = {**dict.fromkeys(LOOSE, 1e-2), **corners}
        golden.close_statistics(tensor, recorded[f"audio.{name}"], name, share=1e-3, loose=loose)
    found = F.normalize(encoding.pooled, dim=-1)
    want = data["outputs"]["audio_features"]
    golden.close_vectors(found[:2], want[:2], atol=2e-5)
    golden.close_vectors(found[2:], want[2:], atol=5e-3)
    norms = encoding.pooled.norm(dim=-1).tolist()
    assert norms == pytest.approx(data["outputs"]["raw_norms"]["audio"], rel=1e-4)
    assert encoding.terms["fbsp"].tolist() == pytest.approx([data["outputs"]["loss_ttf"]] * 3, rel=1e-4)


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
