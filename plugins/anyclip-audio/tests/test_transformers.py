"""audio/transformers: the library's features and outputs, one embedding per sound, layers, masks, mistakes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from anyclip_audio.front import log_spectrogram
from anyclip_audio.transformers_norms import MaskedGroupNorm, real_frames
from anyclip_audio.transformers_tower import TransformersAudioTower

from anyclip.errors import CheckpointError, UserError
from anyclip.towers import create_tower

from .conftest import clip, encoded
from .speech_cases import AST, HUBERT, SPEECH_CASES, WHISPER

RATE = 16_000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def tower(case: str = "hubert", **more) -> TransformersAudioTower:
    name, options = SPEECH_CASES[case]
    torch.manual_seed(0)
    made = create_tower(name, **{**options, **more}).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    assert isinstance(made, TransformersAudioTower)
    return made


def collated(model, values, **kw):
    return model.processor.collate([model.processor.load(value, **kw) for value in values])


def embed(model, values):
    with torch.no_grad():
        return model(collated(model, values)).pooled


def sounds(n: int):
    return [(clip(0.2 + 0.11 * i, (RATE, 44_100, 8_000)[i % 3], i), (RATE, 44_100, 8_000)[i % 3]) for i in range(n)]


@pytest.mark.parametrize("case", ["hubert", "hubert-tiles", "wavlm", "whisper", "ast"])
def test_one_sound_has_one_embedding(case, tmp_path):
    model, values = tower(case), sounds(16)
    whole = embed(model, values)
    order = rng().permutation(16)
    torch.testing.assert_close(embed(model, [values[i] for i in order]), whole[order], atol=1e-6, rtol=1e-5)
    for i in (0, 5, 15):
        data = encoded(*values[i], subtype="FLOAT")
        path = tmp_path / f"{i}.wav"
        path.write_bytes(data)
        for value in (values[i], data, str(path)):
            torch.testing.assert_close(embed(model, [value])[0], whole[i], atol=1e-6, rtol=1e-5)


def test_without_masked_statistics_padding_would_be_heard(monkeypatch):
    model, values = tower("hubert"), sounds(4)
    alone = embed(model, values[:1])
    torch.testing.assert_close(embed(model, values)[:1], alone, atol=1e-6, rtol=1e-5)
    monkeypatch.setattr(MaskedGroupNorm, "forward", torch.nn.GroupNorm.forward)
    assert float((embed(model, values)[:1] - alone).abs().max()) > 1e-3


def test_masked_group_norm_is_that_of_the_row_alone():
    norm = MaskedGroupNorm(6, 6)
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(2, 6, 20)
    with real_frames(norm, torch.tensor([20, 7])):
        found = norm(x)
    torch.testing.assert_close(found[0], norm(x[:1])[0])
    torch.testing.assert_close(found[1, :, :7], norm(x[1:, :, :7])[0])
    assert norm.frames is None


def test_published_batch_hears_its_mates():
    hubert, whisper = tower("hubert", published_batch=True), tower("whisper", published_batch=True)
    quiet, loud = (0.01 * clip(0.4), RATE), (clip(1.0, seed=1), RATE)
    for model in (hubert, whisper):
        assert float((embed(model, [quiet, loud])[0] - embed(model, [quiet])[0]).abs().max()) > 1e-4


def test_whispers_log_mel_is_the_librarys():
    from transformers import WhisperFeatureExtractor

    wave = clip(1.3)
    extractor = WhisperFeatureExtractor(feature_size=24, chunk_length=1)
    want = extractor(wave, sampling_rate=RATE, return_tensors="np")["input_features"][0]
    found = tower("whisper").processor.load((wave[:RATE], RATE))
    np.testing.assert_allclose(found["x"][0, 0].T, want, atol=1e-4)
    assert found["frames"].tolist() == [100]
    assert tower("whisper").processor.load((wave[:4000], RATE))["frames"].tolist() == [25]


def test_asts_filter_banks_are_the_librarys():
    from transformers import ASTFeatureExtractor

    extractor = ASTFeatureExtractor(num_mel_bins=32, max_length=100)
    processor = tower("ast", long="start").processor
    assert processor.load((clip(0.01), RATE))["x"].shape == (1, 1, 100, 32)  # less than a frame: the library fails
    for seconds in (0.4, 2.0):
        wave = clip(seconds)
        want = extractor(wave, sampling_rate=RATE, return_tensors="np")["input_values"][0]
        np.testing.assert_allclose(processor.load((wave, RATE))["x"][0, 0], want, atol=2e-4)


def test_waveforms_are_standardised_as_the_library_does():
    from transformers import Wav2Vec2FeatureExtractor

    wave = 0.3 + clip(0.5)
    want = Wav2Vec2FeatureExtractor()(wave, sampling_rate=RATE, return_tensors="np")["input_values"][0]
    np.testing.assert_allclose(tower("hubert").processor.load((wave, RATE))["x"][0], want, atol=1e-5)
    filled = tower("hubert", variable=False, short="pad").processor.load((wave, RATE))["x"][0]
    np.testing.assert_allclose(filled[:8000], want, atol=1e-5)
    assert not filled[8000:].any()


def test_a_folder_gives_the_librarys_hidden_states(tmp_path):
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    config = {**HUBERT}
    config.pop("model_type")
    whole = HubertModel(HubertConfig(**config)).eval()
    whole.save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(tmp_path)
    model = create_tower("audio/transformers", model=str(tmp_path), seconds=2.0).eval()
    wave = clip(0.7)
    with torch.no_grad():
        want = whole(torch.from_numpy(wave)[None], output_hidden_states=True)
        found = model(collated(model, [(wave, RATE)]), layers=(0, -1))
    torch.testing.assert_close(found.tokens, want.last_hidden_state, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.layers[0], want.hidden_states[1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.pooled, want.last_hidden_state.mean(dim=1), atol=1e-5, rtol=1e-4)
    model.save_assets(tmp_path / "assets")
    again = create_tower(
        "audio/transformers", model="/gone", seconds=2.0, assets=tmp_path / "assets", load_weights=False
    ).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(embed(again, [(wave, RATE)]), embed(model, [(wave, RATE)]))


def test_the_encoder_of_a_whole_whisper_is_taken(tmp_path):
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = {**WHISPER, "vocab_size": 30, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config |= {"decoder_start_token_id": 3}
    config.pop("model_type")
    whole = WhisperForConditionalGeneration(WhisperConfig(**config)).eval()
    whole.save_pretrained(tmp_path)
    model = create_tower("audio/transformers", model=str(tmp_path)).eval()
    inputs = collated(model, [(clip(1.0), RATE)])
    with torch.no_grad():
        want = whole.get_encoder()(inputs["x"][:, 0].transpose(1, 2)).last_hidden_state
        torch.testing.assert_close(model(inputs).tokens, want)


def test_ast_is_the_librarys():
    from transformers import ASTConfig, ASTModel

    model = tower("ast")
    whole = ASTModel(ASTConfig(**{k: v for k, v in AST.items() if k != "model_type"})).eval()
    whole.load_state_dict(model.model.state_dict())
    inputs = collated(model, [(clip(0.6), RATE)])
    with torch.no_grad():
        torch.testing.assert_close(model(inputs).pooled, whole(inputs["x"][:, 0]).pooler_output)


@pytest.mark.parametrize("kind", ["plain", "normalized"])
def test_layers_are_summed_with_learned_weights(kind):
    model, value = tower("hubert", layer_sum=kind), (clip(0.4), RATE)
    with torch.no_grad():
        model.layer_weights.copy_(torch.tensor([0.5, -1.0, 2.0]))
        found = model(collated(model, [value]), layers=(0, 1))
        first = model.model(collated(model, [value])["x"], output_hidden_states=True).hidden_states[0]
        states = [first, found.layers[0], found.layers[1]]
        if kind == "normalized":
            states = [
                (s - s.mean(-1, keepdim=True)) / (s.var(-1, keepdim=True, correction=0) + 1e-5).sqrt() for s in states
            ]
        weights = torch.tensor([0.5, -1.0, 2.0]).softmax(0)
        want = sum(w * s for w, s in zip(weights, states))
    torch.testing.assert_close(found.tokens, want, atol=1e-5, rtol=1e-4)


def test_weights_of_layers_learn_on_a_frozen_model():
    model = tower("hubert", layer_sum="plain")
    model.model.requires_grad_(False)
    pooled = model(collated(model, [(clip(0.4), RATE)])).pooled
    pooled.square().sum().backward()
    assert model.layer_weights.grad is not None
    assert bool(model.layer_weights.grad.any())


def test_masks_of_time_come_from_the_loader_only():
    model, value = tower("wav2vec2"), (clip(1.0), RATE)
    assert "drop" not in collated(model, [value])
    drawn = [collated(model, [value, (clip(0.5), RATE)], rng=rng(seed)) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0]["drop"], drawn[1]["drop"])
    assert drawn[0]["drop"].any()
    assert not torch.equal(drawn[0]["drop"], drawn[2]["drop"])
    model.train()
    found = []
    for seed in (0, 1):
        np.random.seed(seed)  # the library would draw from here
        torch.manual_seed(0)
        found.append(model(drawn[0]).pooled)
    assert torch.equal(*found)
    model.eval()
    with torch.no_grad():
        assert float((model(drawn[0]).pooled - embed(model, [value, (clip(0.5), RATE)])).abs().max()) > 1e-4
    plain = tower("hubert")
    assert not plain.model.masked_spec_embed.requires_grad
    assert "drop" not in collated(plain, [value], rng=rng())


def test_spectrograms_are_masked_in_training():
    for case in ("whisper", "ast"):
        model = tower(case, mask_time=0.4, masks=2)
        plain, masked = (model.processor.load((clip(1.0), RATE), rng=g)["x"] for g in (None, rng(3)))
        changed = (plain != masked).any(dim=-1)[0, 0]
        assert 0 < int(changed.sum()) <= 80


def test_frames_of_silence_behind_a_sound_do_not_count():
    model = tower("whisper")
    inputs = collated(model, [(clip(0.3), RATE)])
    with torch.no_grad():
        encoding = model(inputs)
    assert encoding.mask.sum() == 15
    torch.testing.assert_close(encoding.pooled[0], encoding.tokens[0, :15].mean(dim=0))


def test_spectrograms_are_the_same_in_workers_and_in_the_model():
    workers, inside = tower("whisper", layer_sum="none"), tower("whisper-in-model")
    inside.load_state_dict(workers.state_dict())
    values = [(clip(0.7, 22_050, i), 22_050) for i in range(2)]
    assert inside.processor.load(values[0])["x"].shape == (1, RATE)
    torch.testing.assert_close(embed(inside, values), embed(workers, values), atol=1e-5, rtol=1e-4)
    assert log_spectrogram(torch.zeros(RATE), workers.processor.front).shape == (101, 24)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": {"model_type": "hubrt"}}, r"no model type 'hubrt'\. Did you mean hubert\?"),
        ({"model": {**HUBERT, "hiden_size": 8}}, r"hubert has no setting 'hiden_size'\. Did you mean hidden_size\?"),
        ({"model": {"model_type": "bert"}}, "'bert' is not an audio encoder that this tower knows"),
        ({"model": HUBERT, "n_fft": 400}, "n_fft: hubert has no such setting"),
        ({"model": HUBERT, "mask_bands": 0.1}, "mask_bands: hubert takes the waveform"),
        ({"model": {**HUBERT, "model_type": "data2vec-audio"}, "variable": True}, "carries padding into the sound"),
        ({"model": WHISPER, "variable": True}, "variable: whisper takes windows of one length"),
        ({"model": WHISPER, "seconds": 3.0}, r"whisper takes 100 frames, not 300\. Leave seconds out: 1 s"),
        ({"model": WHISPER, "normalize": True}, "normalize: whisper does not take waveforms"),
        ({"model": AST, "features": "model"}, "the filter banks of AST are computed by the workers"),
        ({"model": HUBERT, "config": {"dropout": 0.1}}, "config: hubert has no setting 'dropout'"),
        ({"model": "/nowhere/at/all"}, "model: '/nowhere/at/all' cannot be read"),
        ({"model": HUBERT, "layer_sum": "plain", "pool": "cls"}, "layer_sum goes with the mean over frames"),
        ({"model": {}}, "an inline model needs model_type"),
    ],
)  # fmt: skip
def test_mistakes_are_named(options, message):
    with pytest.raises(UserError, match=message):
        create_tower("audio/transformers", **options)


def test_calls_that_cannot_be_served_are_refused(tmp_path):
    value = (clip(1.5), RATE)
    tiles, whisper = tower("hubert-tiles"), tower("whisper")
    with pytest.raises(UserError, match="several windows"):
        tiles(collated(tiles, [value]), layers=(0,))
    with pytest.raises(UserError, match="whisper has no vector for masked frames"):
        whisper(collated(whisper, [value]), mask=torch.zeros(1, 50, dtype=torch.bool))
    with pytest.raises(UserError, match="hubert has no class token"):
        embed(tower("hubert", pool="cls"), [value])
    with pytest.raises(UserError, match="the layers of qwen2_audio_encoder have different lengths"):
        embed(tower("qwen2-audio", layer_sum="plain", output="pooled"), [value])
    from transformers import HubertConfig, HubertModel

    small = HubertModel(
        HubertConfig(**{**{k: v for k, v in HUBERT.items() if k != "model_type"}, "num_hidden_layers": 1})
    )
    small.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"lacks tensors of the model: encoder\.layers\.1"):
        create_tower("audio/transformers", model=str(tmp_path), config={"num_hidden_layers": 2})
