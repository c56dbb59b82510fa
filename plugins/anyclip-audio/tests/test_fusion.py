"""Feature fusion's kinds, and which window of a long sound evaluation takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from anyclip_audio.fusion import Aff, Daf, Iaff
from anyclip_audio.lengths import active_start
from anyclip_audio.options import HtsatOptions

from anyclip.errors import UserError
from anyclip.towers.create import create_tower

from .cases import CASES
from .conftest import clip


def fused(kind, **more):
    name, options = CASES["htsat-fusion"]
    return create_tower(name, **{**options, "fusion": kind, **more})


def maps(rows=3, seed=0):
    return torch.randn(rows, 16, 4, 4, generator=torch.Generator().manual_seed(seed))


def attention(block, local, x):
    """sigmoid(local(x) + global(x)) written out with the layers."""
    return torch.sigmoid(local(x) + block.global_att(x))


def test_the_three_kinds_are_their_formulas():
    blocks = {kind: fused(kind).eval().model.audio_encoder.patch_embed.fusion_model for kind in ("aff", "iaff", "daf")}
    assert [type(block) for block in blocks.values()] == [Aff, Iaff, Daf]
    x, r = maps(), maps(seed=1)
    share = attention(blocks["aff"], blocks["aff"].local_att, x + r)
    torch.testing.assert_close(blocks["aff"](x, r), 2 * x * share + 2 * r * (1 - share))
    block = blocks["iaff"]
    first = attention(block, block.local_att, x + r)
    second = attention(block, block.local_att2, x * first + r * (1 - first))
    torch.testing.assert_close(block(x, r), x * second + r * (1 - second))
    assert not torch.equal(block.local_att[0].weight, block.local_att2[0].weight)
    torch.testing.assert_close(blocks["daf"](x, r), x + r)
    assert not list(blocks["daf"].parameters())


@pytest.mark.parametrize("kind", [True, "aff", "iaff", "daf"])
def test_one_long_sound_in_training(kind):
    """BatchNorm has no statistics of one value; LAION-CLAP counts the sound twice."""
    tower = fused(kind).train()
    sample = tower.processor.load((clip(3.0), 16_000))
    assert bool(sample["longer"])
    pooled = tower(tower.processor.collate([sample])).pooled
    assert torch.isfinite(pooled).all()


def test_a_saved_kind_comes_back(tmp_path):
    tower = fused("iaff").eval()
    tower.save_assets(tmp_path)
    options = HtsatOptions(**{**CASES["htsat-fusion"][1], "fusion": "iaff"})
    built = type(tower).from_options(options, assets=tmp_path).eval()
    assert isinstance(built.model.audio_encoder.patch_embed.fusion_model, Iaff)
    built.load_state_dict(tower.state_dict())
    inputs = tower.processor.collate([tower.processor.load((clip(3.0), 16_000))])
    torch.testing.assert_close(built(inputs).pooled, tower(inputs).pooled, rtol=0, atol=0)


def test_the_active_window():
    loud, quiet = np.ones(40), np.full(30, 0.01)
    sign = np.tile([1.0, -1.0], 200)

    def start(*parts):
        wave = np.concatenate(parts)
        return active_start((wave * sign[: len(wave)]).astype(np.float32), 20)

    assert start(loud, loud) == 30  # the middle
    assert start(np.ones(20), quiet, quiet) == 0  # the middle is quiet, the start is not
    assert start(quiet, quiet, np.ones(20)) == 0  # all but the end are equally quiet: the start stays
    assert start(np.full(30, 0.02), quiet, np.ones(20)) == 60  # the start too, but less so than the middle: the end


def test_active_reads_the_whole_sound_in_evaluation_only():
    name, options = CASES["pann"]
    tower = create_tower(name, **{**options, "long": "active", "features": "model"})
    wave = np.zeros(16_000 * 6, np.float32)
    wave[:16_000] = clip(1.0)
    size = tower.processor.front.samples
    found = tower.processor.load((wave, 16_000))["x"][0].numpy()
    np.testing.assert_array_equal(found, wave[:size])
    rng = np.random.Generator(np.random.Philox(3))
    drawn = tower.processor.load((wave, 16_000), rng=rng)["x"][0].numpy()
    assert len(drawn) == size
    assert not np.array_equal(drawn, found)
    same = create_tower(name, **{**options, "long": "active", "features": "model", "train_crop": "same"})
    np.testing.assert_array_equal(same.processor.load((wave, 16_000), rng=rng)["x"][0].numpy(), found)


def test_too_few_frames_for_the_halvings_are_named():
    with pytest.raises(UserError, match="8 n_mels are too few for 5 halvings"):
        create_tower("audio/pann", n_mels=8)
