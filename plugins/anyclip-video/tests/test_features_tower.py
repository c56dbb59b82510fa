"""`video/features`: files, broken files, the sequence that the encoder sees."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from anyclip_video.features_processor import FeaturesProcessor
from anyclip_video.tower_options import FeaturesOptions

from anyclip.errors import BadSample, UserError
from anyclip.readers import Blob
from anyclip.towers import create_tower

from .cases import FEATURES


def saved(save=np.save, *arrays, **named) -> bytes:
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


ARRAY = np.arange(36, dtype=np.float32).reshape(3, 12)


def processor(**options) -> FeaturesProcessor:
    return FeaturesProcessor(FeaturesOptions(dim=12, length=5, model=None, **options))


def test_every_kind_of_value(tmp_path):
    (tmp_path / "a.npy").write_bytes(saved(np.save, ARRAY))
    values = [ARRAY, ARRAY.tolist(), torch.from_numpy(ARRAY), saved(np.save, ARRAY), str(tmp_path / "a.npy")]
    values += [saved(np.savez, s3d=ARRAY.astype(np.float16)), {"bytes": saved(np.save, ARRAY), "path": "x"}]
    values += [Blob(saved(np.savez_compressed, ARRAY.astype(int)), "b.npz"), {"path": str(tmp_path / "a.npy")}]
    for value in values:
        assert torch.equal(processor().load(value), torch.from_numpy(ARRAY))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "the file is empty"),
        (b"not an array", r"is no \.npy or \.npz file"),
        (saved(np.save, ARRAY)[:-20], "cannot be read"),
        (saved(np.savez, ARRAY)[:60], "cannot be read"),
        (saved(np.savez, ARRAY, ARRAY), "holds 2 arrays, not one"),
        (saved(np.save, np.array([{"a": 1}], dtype=object), allow_pickle=True), "cannot be read"),
        (np.array(["a"]), "holds <U1, not numbers"),
        (ARRAY[:, :5], r"features are \[3, 5\], not \[T, 12\]"),
        (ARRAY[:0], r"features are \[0, 12\]"),
        (ARRAY * np.nan, "not finite"),
        ("/nowhere/a.npy", "a.npy: cannot be read"),
        (3, "a int is neither a file nor an array"),
        ([[1, 2], [3]], "cannot be read"),
    ],
)
def test_broken_values(value, reason):
    with pytest.raises(BadSample, match=reason):
        processor().load(value)


def test_which_of_too_many():
    long = np.repeat(np.arange(11.0)[:, None], 12, axis=1)

    def rows(rng=None, **options):
        return processor(**options).load(long, rng=rng)[:, 0].tolist()

    assert rows() == [3, 4, 5, 6, 7]
    assert rows(long="head") == [0, 1, 2, 3, 4]
    assert rows(long="uniform") == [0, 2, 5, 7, 10]
    drawn = {rows(np.random.Generator(np.random.Philox(seed)))[0] for seed in range(20)}
    assert len(drawn) > 3
    assert min(drawn) >= 0
    assert max(drawn) <= 6
    assert not processor().deterministic
    assert processor(long="head").deterministic


@torch.no_grad()
def test_the_end_stands_behind_the_longest_clip():
    torch.manual_seed(0)
    tower = create_tower("video/features", **FEATURES["features-bert"][1]).eval()
    seen = []
    tower.bert.embeddings.register_forward_pre_hook(lambda m, a, kw: seen.append(kw), with_kwargs=True)
    x = tower.processor.collate([tower.processor.load(ARRAY), tower.processor.load(ARRAY[:1])])
    found = tower(x, layers=(-1,))
    assert seen[0]["position_ids"].tolist() == [[0, 1, 2, 3, 6]] * 2
    table = tower.bert.embeddings.word_embeddings.weight
    assert torch.equal(seen[0]["inputs_embeds"][1, 0], table[0])
    assert torch.equal(seen[0]["inputs_embeds"][1, -1], table[1])
    assert torch.equal(found.layers[-1], found.tokens)
    hidden = tower.bert(
        inputs_embeds=seen[0]["inputs_embeds"][1:, [0, 1, 4]], position_ids=torch.tensor([[0, 1, 6]])
    ).last_hidden_state
    torch.testing.assert_close(found.pooled[1], hidden[0, 1:].mean(dim=0))


def test_refusals():
    bert = FEATURES["features-bert"][1]
    with pytest.raises(UserError, match="sep_id: 102 is outside the vocabulary of 8 rows"):
        create_tower("video/features", **{**bert, "sep_id": 102})
    with pytest.raises(UserError, match="needs 514 positions, the encoder has 512"):
        create_tower("video/features", **{**bert, "length": 512})
    with pytest.raises(UserError, match="the encoder is a bert, not 'vit'"):
        create_tower("video/features", model={"model_type": "vit"})
    tower = create_tower("video/features", **bert)
    with pytest.raises(UserError, match="has 6 feature vectors, the tower takes 5"):
        tower({"features": torch.zeros(1, 6, 12), "mask": torch.ones(1, 6, dtype=torch.bool)})
