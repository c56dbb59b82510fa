"""Which frames are looked at, against the rules of the papers written out plainly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from anyclip_video.options import VideoOptions
from anyclip_video.sampling import Sampling, Timeline, per_second, spread


def line(count: int, rate: float = 25.0) -> Timeline:
    return Timeline(0, count, rate, 0.0, count / rate)


def plan(count: int, rate: float = 25.0, rng=None, **options):
    return [list(picks.indices) for picks in Sampling(**options).plan(line(count, rate), rng)]


def clip4clip(count: int, rate: float, framerate: int, most: int, position: int) -> list[int]:
    """Their loader: read `framerate` frames of each second until a read fails, then slice."""
    fps = int(rate)
    interval = max(1, fps // framerate)
    offsets = list(range(0, fps, interval))[:framerate]
    read = []
    for second in range(math.ceil(count / fps) + 1):
        for offset in offsets:
            if second * fps + offset >= count:
                break
            read.append(second * fps + offset)
    if len(read) <= most:
        return read
    return {0: read[:most], 1: read[-most:]}.get(position) or [
        read[i] for i in np.linspace(0, len(read) - 1, most, dtype=int)
    ]


@pytest.mark.parametrize("count", [1, 24, 25, 26, 130, 1000])
@pytest.mark.parametrize(("rate", "fps"), [(25.0, 1), (29.97, 1), (29.97, 3), (12.5, 2)])
@pytest.mark.parametrize(("kind", "position"), [("head", 0), ("tail", 1), ("uniform", 2)])
def test_the_rules_of_clip4clip(count, rate, fps, kind, position):
    found = plan(count, rate, frames=12, fps=float(fps), kind=kind, short="pad")
    assert found == [clip4clip(count, rate, fps, 12, position)]


def test_too_few_frames_are_repeated_evenly_or_left_to_the_mask():
    assert plan(1, frames=4) == [[0, 0, 0, 0]]
    assert plan(2, frames=5) == [[0, 0, 1, 1, 1]]
    assert plan(4, frames=4) == [[0, 1, 2, 3]]
    for kind in ("uniform", "head", "tail", "segments", "dense"):
        assert plan(2, frames=5, kind=kind, short="pad") == [[0, 1]]
        assert plan(3, frames=3, kind=kind) == [[0, 1, 2]]


def test_segments_are_equal_and_jitter_in_training_only():
    assert plan(100, frames=4, kind="segments") == [[12, 37, 62, 87]]
    rng = np.random.default_rng(0)
    drawn = np.array([plan(100, frames=4, kind="segments", rng=rng)[0] for _ in range(300)])
    assert (drawn // 25 == np.arange(4)).all()
    assert drawn.min(axis=0).tolist() == [0, 25, 50, 75]
    assert drawn.max(axis=0).tolist() == [24, 49, 74, 99]


def test_dense_windows_are_neighbours():
    assert plan(100, frames=10, kind="dense") == [list(range(45, 55))]
    windows = plan(100, frames=10, kind="dense", windows=3)
    assert windows == [list(range(s, s + 10)) for s in (0, 45, 90)]
    assert plan(25, frames=10, kind="dense", windows=8) == [list(range(s, s + 10)) for s in (0, 8, 15)]
    assert plan(100, frames=5, kind="dense", stride=4) == [[40, 44, 48, 52, 56]]
    starts = {plan(30, frames=10, kind="dense", windows=3, rng=np.random.default_rng(i))[0][0] for i in range(200)}
    assert starts == set(range(21))


def test_a_rate_that_is_no_whole_number_and_slower_than_one_a_second():
    assert per_second(100, 10.0, 0.5) == [0, 20, 40, 60, 80]
    assert per_second(10, 10.0, 2.5) == [0, 4, 8]
    assert plan(50, 10.0, frames=8, fps=50.0, kind="head") == [list(range(8))]


def test_by_time_spreads_over_the_seconds():
    moments = Sampling(frames=4, by="time").plan(Timeline(0, 40, 10.0, 1.0, 5.0))[0].seconds
    assert moments == pytest.approx((1.05, 2.35, 3.65, 4.95))
    every_second = Sampling(frames=8, by="time", fps=1.0, short="pad").plan(Timeline(0, 40, 10.0, 1.0, 5.0))[0]
    assert every_second.seconds == pytest.approx((1.5, 2.5, 3.5, 4.5))


def test_a_part_keeps_its_place():
    picks = Sampling(frames=3).plan(Timeline(100, 200, 25.0, 4.0, 8.0))[0]
    assert picks.indices == (100, 149, 199)


def test_spread_covers_every_part():
    for count, wanted in ((7, 3), (3, 7), (1, 5), (1000, 999)):
        places = spread(count, wanted, None)
        assert len(places) == wanted
        assert (np.diff(places) >= 0).all()
        assert 0 <= places[0] <= places[-1] < count


def test_options_settle_the_sampling():
    assert Sampling.of(VideoOptions(), 8) == Sampling(frames=8)
    assert Sampling.of(VideoOptions(frames=4, sampling="dense", windows=3), 8).frames == 4
    with pytest.raises(ValueError, match="windows: only with sampling: dense"):
        VideoOptions(windows=2)
    assert VideoOptions(augment="none").deterministic
    assert not VideoOptions(augment="none", sampling="segments").deterministic
