"""audio/codes: every form of a sequence, what is refused, and the numbers of transformers' CLVP."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from anyclip_audio.codes_examples import sequences
from anyclip_audio.speech_rows import TINY

from anyclip.errors import BadSample, UserError
from anyclip.readers import Blob
from anyclip.towers import create_tower

SIZE = 64


def tower(**more):
    torch.manual_seed(0)
    return create_tower("audio/codes", **{**TINY["codes"], **more}).eval()


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def npy(values) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(values))
    return buffer.getvalue()


def test_every_form_of_a_sequence(tmp_path):
    processor, codes = tower().processor, [5, 0, 63, 7]
    for name, data in (("a.npy", npy(codes)), ("a.json", json.dumps(codes).encode()), ("a.txt", b"5, 0\n63 7 ")):
        (tmp_path / name).write_bytes(data)
        for value in (str(tmp_path / name), tmp_path / name, data, Blob(data, name)):
            assert processor.load(value).tolist() == codes
    for value in (
        codes,
        tuple(codes),
        np.array(codes, np.int16),
        np.array([codes]),
        torch.tensor(codes),
        [5.0, 0, 63, 7],
    ):
        assert processor.load(value).tolist() == codes
        assert processor.load(value).dtype == torch.int64


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([1, 64], "code 64, the model knows 0 to 63"),
        ([-1, 3], "code -1, the model knows 0 to 63"),
        ([1.5], "no whole numbers"),
        ([float("nan")], "no whole numbers"),
        ([], "at least one code"),
        ([[1, 2], [3, 4]], r"codes of shape \[2, 2\]"),
        ([[1], [2, 3]], "no sequence of codes"),
        (["a"], "where a sequence of codes belongs"),
        (b"hello", "no sequence of codes"),
        (b"[1, {}]", "belongs|no sequence"),
        (b"  ", "no bytes"),
        ("gone.npy", r"gone\.npy: no such file"),
        ((np.zeros(8, np.float32), 16_000), "a sound where codes belong"),
        (npy([1, 2])[:-9], "no sequence of codes"),
        (npy([True, False]), "bool where whole numbers belong"),
    ],
)
def test_what_is_no_sequence_is_named(value, reason):
    with pytest.raises(BadSample, match=reason):
        tower().processor.load(value)


def test_long_sequences_are_cut_and_codes_left_out_in_training():
    codes = list(range(40))
    assert tower(length=10).processor.load(codes).tolist() == list(range(15, 25))
    assert tower(length=10, long="start").processor.load(codes).tolist() == list(range(10))
    cut = tower(length=10).processor
    starts = {int(cut.load(codes, rng=rng(seed))[0]) for seed in range(60)}
    assert min(starts) < 4
    assert max(starts) > 26
    assert tower(length=10, train_crop="same").processor.load(codes, rng=rng()).tolist() == list(range(15, 25))
    thin = tower(mask_codes=0.5).processor
    found = thin.load(codes, rng=rng()).tolist()
    assert 5 < len(found) < 35
    assert found == sorted(found)
    assert len(thin.load([3], rng=rng())) == 1
    assert thin.load(codes).tolist() == codes
    assert not thin.deterministic
    assert tower(train_crop="same").processor.deterministic


def test_the_speech_side_of_a_clvp_folder(tmp_path):
    from transformers import ClvpConfig, ClvpModelForConditionalGeneration

    side = {"vocab_size": SIZE, "hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 2}
    side |= {"num_attention_heads": 2, "projection_dim": 24, "bos_token_id": 1, "eos_token_id": 2}
    decoder = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "n_inner": 16}
    decoder |= {"num_mel_attn_blocks": 1, "feature_size": 8, "bos_token_id": 1, "eos_token_id": 2}
    config = ClvpConfig(text_config=side, speech_config=side, decoder_config=decoder, projection_dim=24)
    whole = ClvpModelForConditionalGeneration(config).eval()
    whole.save_pretrained(tmp_path)
    values = sequences(3)
    model = create_tower("audio/codes", model=str(tmp_path), output="projected").eval()
    plain = create_tower("audio/codes", model=str(tmp_path), output="projected", published_batch=True).eval()
    batch = model.processor.collate([model.processor.load(v) for v in values])
    with torch.no_grad():
        for row, value in enumerate(values):  # alone, so that the library has no padding to average over
            want = whole.speech_encoder_model(torch.tensor([value])).embeds[0]
            torch.testing.assert_close(model(batch).pooled[row], want, atol=1e-5, rtol=1e-4)
        together = whole.speech_encoder_model(batch["codes"]).embeds
        torch.testing.assert_close(plain(batch).pooled, together, atol=1e-5, rtol=1e-4)
        assert float((plain(batch).pooled[0] - model(batch).pooled[0]).abs().max()) > 1e-4


def test_codes_that_are_masked_do_not_count():
    model = tower()
    batch = model.processor.collate([model.processor.load([4, 9, 9, 4, 20])])
    drop = torch.tensor([[False, False, False, True, True]])
    with torch.no_grad():
        want = model(model.processor.collate([model.processor.load([4, 9, 9])])).pooled
        torch.testing.assert_close(model(batch, mask=drop).pooled, want, atol=1e-5, rtol=1e-4)
    assert model.token_table().shape == (SIZE, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": {"hiden_size": 8}}, r"no setting 'hiden_size'\. Did you mean hidden_size\?"),
        ({"model": "/nowhere/at/all"}, "model: '/nowhere/at/all' cannot be read"),
        ({"pad_id": 64}, "pad_id: the model has 64 codes"),
        ({"config": {"summary_type": "last"}}, "summary_type 'last' is not supported"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(UserError, match=message):
        tower(**options)
