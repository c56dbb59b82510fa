"""The processor: shapes, mask, the same transform for every frame, several windows."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from anyclip_image.options import ImageOptions
from anyclip_image.processor import ImageProcessor, Preprocess
from anyclip_video.options import VideoOptions
from anyclip_video.processor import VideoProcessor
from anyclip_video.windows import flat_windows, mean_of_windows

from anyclip.errors import UserError

from .conftest import numbered

DECLARED = Preprocess(size=(24, 32))


def processor(frames: int = 6, **options) -> VideoProcessor:
    return VideoProcessor(DECLARED, VideoOptions(**options), frames=frames)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def test_inputs_have_the_shapes_that_towers_expect():
    made = processor(short="pad")
    inputs = made.collate([made.load(numbered(count)) for count in (20, 2)])
    assert inputs["frames"].shape == (2, 6, 3, 24, 32)
    assert inputs["frames"].dtype == torch.float32
    assert inputs["mask"].tolist() == [[True] * 6, [True] * 2 + [False] * 4]
    assert set(inputs) == {"frames", "mask"}
    assert made.collate([made.placeholder()])["frames"].shape == (1, 6, 3, 24, 32)


def test_short_clips_repeat_unless_told_otherwise():
    made = processor()
    sample = made.load(numbered(2))
    assert sample["mask"].all()
    assert torch.equal(sample["frames"][0, 0], sample["frames"][0, 2])
    assert not torch.equal(sample["frames"][0, 2], sample["frames"][0, 3])


def test_a_frame_is_what_the_image_processor_makes_of_it():
    clip = numbered(6)
    images = ImageProcessor(DECLARED, ImageOptions())
    wanted = images.collate([images.load(frame) for frame in clip])["pixels"]
    made = processor()
    assert torch.equal(made.collate([made.load(clip)])["frames"][0], wanted)


@pytest.mark.parametrize("augment", ["clip", "strong"])
def test_all_frames_of_a_clip_get_the_same_draws(augment):
    still = np.repeat(np.random.default_rng(0).integers(0, 255, (1, 40, 50, 3), dtype=np.uint8), 6, axis=0)
    made = processor(augment=augment)
    one, two = made.load(still, rng=rng(1))["frames"][0], made.load(still, rng=rng(2))["frames"][0]
    assert (one == one[:1]).all()
    assert not torch.equal(one, two)
    assert torch.equal(one, made.load(still, rng=rng(1))["frames"][0])


def test_evaluation_ignores_the_seed_and_training_follows_it(long_video):
    made = processor(sampling="segments", augment="none")
    assert not made.deterministic
    assert torch.equal(made.load(long_video)["frames"], made.load(long_video)["frames"])
    assert not torch.equal(made.load(long_video, rng=rng(1))["frames"], made.load(long_video, rng=rng(2))["frames"])
    plain = processor(augment="none")
    assert plain.deterministic
    assert torch.equal(plain.load(long_video, rng=rng(1))["frames"], plain.load(long_video)["frames"])


def test_windows_of_a_long_video_are_averaged(long_video):
    made = processor(sampling="dense", windows=3, stride=5)
    inputs = made.collate([made.load(long_video), made.load(numbered(3))])
    assert inputs["frames"].shape == (2, 3, 6, 3, 24, 32)
    assert inputs["windows"].tolist() == [[True] * 3, [True, False, False]]
    frames, mask, windows = flat_windows(inputs)
    assert (frames.shape[0], mask.shape) == (4, (4, 6))
    pooled = torch.arange(8.0).view(4, 2)
    assert mean_of_windows(pooled, windows).tolist() == [[2.0, 3.0], [6.0, 7.0]]
    training = made.collate([made.load(long_video, rng=rng())])
    assert training["windows"].tolist() == [[True]]


def test_the_key_follows_the_settings_and_pickles_keep_it():
    keys = {
        processor(**options).key()
        for options in ({}, {"frames": 4}, {"fps": 1.0}, {"sampling": "head"}, {"by": "time"}, {"image_size": 16})
    }
    assert len(keys) == 6
    made = processor(backend="decord")
    assert pickle.loads(pickle.dumps(made)).key() == made.key()


def test_a_missing_decoder_is_an_error_when_the_run_starts(monkeypatch):
    monkeypatch.setattr("anyclip_video.sources.loads", lambda name: name == "pyav")
    with pytest.raises(UserError, match="backend: decord is not installed or does not load"):
        processor(backend="decord")
