"""The processor: one embedding per sound whatever its form and company, lengths, spectrograms, augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from anyclip_audio.front import Front, log_spectrogram, mel_filters
from anyclip_audio.htsat_tower import HtsatTower
from anyclip_audio.lengths import fit, fusion_starts, fusion_views, quantise, windows
from anyclip_audio.options import HtsatOptions
from anyclip_audio.processor import AudioProcessor

from anyclip.errors import BadSample, UserError
from anyclip.registry import get_registry
from anyclip.towers.create import create_tower

from .cases import CASES
from .conftest import clip, encoded


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def tower(case: str = "htsat", **more):
    name, options = CASES[case]
    torch.manual_seed(0)
    return create_tower(name, **{**options, **more}).eval()


def embed(model, values):
    with torch.no_grad():
        return model(model.processor.collate([model.processor.load(value) for value in values])).pooled


def processor(**options) -> AudioProcessor:
    return AudioProcessor(
        Front(sample_rate=16_000, seconds=1.0, n_fft=512, win_length=512, hop=160), HtsatOptions(**options)
    )


@pytest.mark.parametrize("case", ["htsat", "htsat-fusion", "htsat-tile", "pann", "wav2clip", "esresnext"])
def test_one_sound_has_one_embedding(case, tmp_path):
    model = tower(case)
    sounds = [
        (clip(0.2 + 0.37 * i, (16_000, 44_100, 8_000)[i % 3], i), (16_000, 44_100, 8_000)[i % 3]) for i in range(16)
    ]
    whole = embed(model, sounds)
    order = rng().permutation(16)
    again = embed(model, [sounds[i] for i in order])
    torch.testing.assert_close(again, whole[order], atol=1e-6, rtol=1e-5)
    for i in (0, 5, 15):
        data = encoded(*sounds[i], subtype="FLOAT")
        path = tmp_path / f"{i}.wav"
        path.write_bytes(data)
        for value in (sounds[i], data, str(path)):
            torch.testing.assert_close(embed(model, [value])[0], whole[i], atol=1e-6, rtol=1e-5)


def test_only_the_needed_part_of_a_file_is_read(tmp_path, monkeypatch):
    import anyclip_audio.sources as sources

    path = tmp_path / "long.flac"
    long = clip(60.0, 8_000)
    path.write_bytes(encoded(long, 8_000, "FLAC"))
    counts, real = [], sources.SoundfileSource.read
    monkeypatch.setattr(
        sources.SoundfileSource, "read", lambda self, start, count: counts.append(count) or real(self, start, count)
    )
    sample = processor().load(str(path))
    assert counts == [8_000]
    middle = (long[29 * 8_000 + 4_000 : 30 * 8_000 + 4_000], 8_000)
    torch.testing.assert_close(sample["x"], processor().load(middle)["x"], atol=2e-2, rtol=1e-3)


def test_windows():
    assert windows(100, 200, "tile", 5, None) == [(0, 100)]
    assert windows(1000, 200, "center", 5, None) == [(400, 200)]
    assert windows(1000, 200, "start", 5, None) == [(0, 200)]
    assert windows(1000, 200, "tile", 9, None) == [(0, 200), (200, 200), (400, 200), (600, 200), (800, 200)]
    assert windows(1001, 200, "tile", 3, None) == [(0, 200), (400, 200), (801, 200)]
    assert windows(1000, 200, "tile", 1, None) == [(400, 200)]
    starts = [windows(1000, 200, "tile", 5, rng(i))[0][0] for i in range(200)]
    assert min(starts) < 30
    assert 770 < max(starts) <= 800


def test_what_fills_short_sounds():
    three = np.array([1, 2, 3], np.float32)
    assert fit(three, 8, "repeatpad").tolist() == [1, 2, 3, 1, 2, 3, 0, 0]
    assert fit(three, 8, "repeat").tolist() == [1, 2, 3, 1, 2, 3, 1, 2]
    assert fit(three, 8, "pad").tolist() == [1, 2, 3, 0, 0, 0, 0, 0]
    assert fit(three, 8, "edge").tolist() == [1, 1, 1, 2, 3, 3, 3, 3]
    for short in ("repeatpad", "repeat", "pad", "edge"):
        assert fit(three, 2, short).tolist() == [1, 2]
        assert fit(three[:1], 3, short).shape == (3,)


def test_quantise_truncates_towards_zero():
    found = quantise(np.array([2.0, -2.0, 0.99999, -1.5 / 32767, 0.5 / 32767], np.float32)) * 32767
    assert found.round(3).tolist() == [32767, -32767, 32766, -1, 0]


def test_mel_bands_are_librosas():
    librosa = pytest.importorskip("librosa")
    for rate, n_fft, n_mels, low, high in ((48_000, 1024, 64, 50, 14_000), (16_000, 400, 80, 0, 8_000)):
        for scale, norm in (("slaney", "slaney"), ("htk", "none"), ("htk", "slaney")):
            area = None if norm == "none" else norm
            htk = scale == "htk"
            want = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=low, fmax=high, htk=htk, norm=area)
            found = mel_filters(n_mels, n_fft, rate, low, high, scale, norm)
            np.testing.assert_allclose(found, want, atol=1e-6 * want.max())


def test_log_mel_is_librosas():
    librosa = pytest.importorskip("librosa")
    front = Front()
    wave = clip(2.0, 48_000)
    power = librosa.feature.melspectrogram(
        y=wave, sr=48_000, n_fft=1024, hop_length=480, n_mels=64, fmin=50, fmax=14_000, pad_mode="reflect"
    )
    want = librosa.power_to_db(power, top_db=None)
    np.testing.assert_allclose(log_spectrogram(torch.from_numpy(wave), front), want.T, atol=1e-3)
    batch = log_spectrogram(torch.from_numpy(np.stack([wave, wave[::-1].copy()])), front)
    torch.testing.assert_close(batch[0], log_spectrogram(torch.from_numpy(wave), front))


def test_spectrograms_are_the_same_in_workers_and_in_the_model():
    workers, inside = tower("htsat"), tower("htsat-in-model")
    inside.load_state_dict(workers.state_dict())
    values = [(clip(1.3, 22_050, i), 22_050) for i in range(3)]
    assert inside.processor.load(values[0])["x"].shape == (1, 32_000)
    torch.testing.assert_close(embed(inside, values), embed(workers, values), atol=1e-5, rtol=1e-4)


def test_tiles_are_averaged():
    model, single = tower("htsat-tile"), tower("htsat-tile", long="center")
    wave = clip(1.0, 16_000)
    parts = embed(single, [(wave[:8000], 16_000), (wave[8000:], 16_000)])
    found = embed(model, [(wave, 16_000), (wave[:8000], 16_000)])
    torch.testing.assert_close(found, torch.stack([parts.mean(0), parts[0]]), atol=1e-6, rtol=1e-5)
    inputs = model.processor.collate([model.processor.load((wave, 16_000))])
    with pytest.raises(UserError, match="several windows"):
        model(inputs, layers=(0,))


def test_fusion_views_and_their_windows():
    assert fusion_starts(1701, 1001, None) == (117, 351, 584)
    assert fusion_starts(1001, 1001, None) == (0, 0, 0)
    drawn = [fusion_starts(1701, 1001, rng(i)) for i in range(60)]
    assert all(a <= 233 < b <= 467 < c <= 700 for a, b, c in drawn)
    assert len(set(drawn)) > 50
    mel = torch.arange(40.0)[:, None].expand(40, 3)
    views = fusion_views(mel, 10, (1, 14, 30), antialias=False)
    assert views.shape == (4, 10, 3)
    assert views[1:, 0, 0].tolist() == [1.0, 14.0, 30.0]
    assert views[0, :, 0].tolist() == pytest.approx([1.5 + 4 * i for i in range(10)])


def test_long_sounds_reach_fusion_and_short_ones_do_not():
    model = tower("htsat-fusion")
    short, long = model.processor.load((clip(0.8), 16_000)), model.processor.load((clip(3.0), 16_000))
    assert short["longer"].tolist() == [False]
    assert long["longer"].tolist() == [True]
    assert (short["x"][0, 0] == short["x"][0, 3]).all()
    assert not torch.equal(long["x"][0, 1], long["x"][0, 2])


def test_augmentation_changes_training_only():
    plain, strong = processor(), processor(augment="strong")
    value = (clip(1.0), 16_000)
    assert torch.equal(plain.load(value)["x"], strong.load(value)["x"])
    assert torch.equal(plain.load(value, rng=rng())["x"], plain.load(value)["x"])
    one, two, other = (strong.load(value, rng=rng(seed))["x"] for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert one.shape == plain.load(value)["x"].shape
    assert processor(train_crop="same").deterministic
    assert not plain.deterministic
    assert not processor(train_crop="same", gain_db=3.0).deterministic
    long = (clip(3.0), 16_000)
    assert not torch.equal(plain.load(long, rng=rng(1))["x"], plain.load(long, rng=rng(2))["x"])
    kept = processor(train_crop="same")
    assert torch.equal(kept.load(long, rng=rng(1))["x"], kept.load(long)["x"])


def test_each_part_of_the_augmentation():
    value = (clip(1.0), 16_000)
    plain = processor().load(value)["x"]
    gain = processor(gain_db=12.0).load(value, rng=rng())["x"] - plain
    assert 0.1 < float(gain.abs().max()) <= 12.01
    torch.testing.assert_close(gain, gain.mean().expand_as(gain), atol=1e-2, rtol=0)
    torch.testing.assert_close(processor(polarity=1.0).load(value, rng=rng())["x"], plain, atol=1e-3, rtol=1e-3)
    masked = processor(mask_time=0.3, masks=2).load(value, rng=rng(3))["x"][0, 0]
    columns = (masked == masked[:, :1]).all(dim=1)
    assert 0 < int(columns.sum()) <= 0.6 * len(columns)
    assert torch.equal(masked[~columns], plain[0, 0][~columns])
    assert float((processor(noise_prob=1.0).load(value, rng=rng())["x"] - plain).abs().max()) > 0.5


def test_mistakes_are_named():
    registry = get_registry()
    with pytest.raises(UserError, match=r"features: model goes with augment: none"):
        registry.build_options("tower", "audio/htsat", {"features": "model", "augment": "light"})
    with pytest.raises(UserError, match=r"seconds: 20 s are 2001 frames, the model takes 256\. Use at most 2\.55 s"):
        tower(seconds=20.0)
    with pytest.raises(UserError, match=r"no setting 'depth'\. Did you mean depths\?"):
        create_tower("audio/htsat", model={"depth": [1]})
    with pytest.raises(UserError, match=r"features: model does not go with fusion"):
        tower("htsat-fusion", features="model")
    with pytest.raises(UserError, match="model: '/nowhere/at/all' cannot be read"):
        create_tower("audio/htsat", model="/nowhere/at/all")
    with pytest.raises(BadSample, match=r"nothing\.wav: no such file"):
        processor().load("nothing.wav")


def test_a_folder_of_transformers_is_loaded_with_its_preprocessor(tmp_path):
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    audio = {**CASES["htsat"][1]["model"], "hidden_size": 32, "projection_dim": 24}
    text = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "vocab_size": 50,
    }
    whole = ClapModel(ClapConfig(audio_config=audio, text_config=text, projection_dim=24)).eval()
    whole.save_pretrained(tmp_path)
    extractor = ClapFeatureExtractor(
        feature_size=16, sampling_rate=16_000, hop_length=160, max_length_s=2, fft_window_size=512, frequency_min=60,
        frequency_max=7_000, truncation="rand_trunc",
    )  # fmt: skip
    extractor.save_pretrained(tmp_path)
    model = create_tower("audio/htsat", model=str(tmp_path), output="projected").eval()
    wave = clip(1.3)
    features = extractor(wave, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        want = whole.get_audio_features(**features).pooler_output
    found = embed(model, [(wave, 16_000)])
    unit = torch.nn.functional.normalize(found, dim=-1)
    torch.testing.assert_close(unit, torch.nn.functional.normalize(want, dim=-1), atol=2e-6, rtol=1e-4)
    model.save_assets(tmp_path / "assets")
    again = HtsatTower.from_options(
        HtsatOptions(model="/gone", output="projected"), assets=tmp_path / "assets", load_weights=False
    ).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(embed(again, [(wave, 16_000)]), found)
