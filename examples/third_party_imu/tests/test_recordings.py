"""Files, rates and motions."""

import numpy as np
import pytest
from anyclip_imu.recording import decode, resample
from anyclip_imu.synthetic import GRAVITY, render

from anyclip import BadSample
from anyclip.readers.scenes import Scene

RNG = np.random.default_rng(0)


def motion(name, **more):
    return render(Scene({"motion": name, **more}), np.random.default_rng(0), noise=0.0)[0]


def test_npy_and_csv_give_the_same(tmp_path):
    samples = RNG.standard_normal((40, 6))
    np.save(tmp_path / "a.imu.npy", samples)
    table = np.column_stack([np.arange(40) / 25, samples])
    np.savetxt(tmp_path / "a.imu.csv", table, delimiter=",", header="t,ax,ay,az,gx,gy,gz", comments="", fmt="%.9f")
    (one, rate), (two, slow) = decode(str(tmp_path / "a.imu.npy")), decode(str(tmp_path / "a.imu.csv"))
    assert (rate, round(slow, 6)) == (50.0, 25.0)
    np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("t,ax,ay,az\n0,0,0,0\n", "lacks gx, gy, gz"),
        ("t,ax,ay,az,gx,gy,gz\n0,1,1,1,1,1,1\n0,1,1,1,1,1,1\n", "times do not rise"),
        ("t,ax,ay,az,gx,gy,gz\n0,1,1,1,1,1,nan\n1,1,1,1,1,1,1\n", "not finite"),
        ("t,ax,ay,az,gx,gy,gz\n0,1,1,one,1,1,1\n", "neither .npy nor CSV"),
    ],
)
def test_broken_tables_say_why(text, reason, tmp_path):
    (tmp_path / "b.imu.csv").write_text(text)
    with pytest.raises(BadSample, match=reason):
        decode(str(tmp_path / "b.imu.csv"))


def test_resampling_keeps_a_slow_wave():
    wave = np.sin(2 * np.pi * np.arange(400) / 200)[:, None].repeat(6, axis=1)
    fast = resample(wave, 200.0, 50.0)
    assert fast.shape == (100, 6)
    np.testing.assert_allclose(fast[10:90, 0], np.sin(2 * np.pi * (np.arange(100) * 4 + 1.5) / 200)[10:90], atol=0.05)


def test_motions_are_physical():
    still, left, right = motion("standing still"), motion("moving left"), motion("moving right")
    np.testing.assert_allclose(still, [[0, GRAVITY, 0, 0, 0, 0]] * len(still), atol=1e-5)
    assert left[0, 0] < 0 < left[-1, 0]
    np.testing.assert_allclose(left[:, 0], -right[:, 0], atol=1e-5)
    assert abs(left[:, 0].sum()) < 1e-3  # at rest before and after
    turned = motion("turning right")
    assert turned[:, 5].sum() / 50 == pytest.approx(-np.pi, rel=0.02)
    assert turned[-1, 1] == pytest.approx(-GRAVITY, rel=0.01)  # upside down at the end
