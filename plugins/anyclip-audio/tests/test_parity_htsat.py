"""`audio/htsat` against recorded values of LAION-CLAP, transformers and open_clip, from the file's samples on."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from anyclip_audio.front import log_spectrogram
from anyclip_audio.lengths import fit, fusion_views
from anyclip_audio.names import laion_htsat
from torch.nn import functional as F

from anyclip.towers.create import create_tower

from . import golden

EMBEDDING = 2e-6
LAION = ["laion_clap_htsat_tiny", "laion_clap_htsat_tiny_fanin"]
FUSED = ["laion_clap_htsat_tiny_fusion", "laion_clap_htsat_tiny_fusion_fanin"]


def build(data, convert, **options):
    """The projected tower with the file's weights; convert: all drawn tensors -> ours."""
    tower = create_tower("audio/htsat", output="projected", **options).eval()
    drawn = golden.draw(data, lambda name: None)
    state = convert(drawn)
    own = tower.model.state_dict()
    assert set(state) <= set(own), sorted(set(state) - set(own))[:4]
    missing = set(own) - set(state)
    assert all(re.search("relative_position_index|num_batches_tracked", name) for name in missing), sorted(missing)[:4]
    tower.model.load_state_dict({**own, **state})
    return tower


def from_laion(drawn, branch="audio_branch.", projection="audio_projection."):
    state = {n.removeprefix(branch): v for n, v in drawn.items() if n.startswith(branch)}
    found = {f"audio_model.audio_encoder.{n}": v for n, v in laion_htsat(state).items()}
    for index, name in ((0, "linear1"), (2, "linear2")):
        for part in ("weight", "bias"):
            found[f"audio_projection.{name}.{part}"] = drawn[f"{projection}{index}.{part}"]
    return found


def our_name(name: str) -> str:
    """A checkpoint of LAION or open_clip -> our submodule."""
    name = re.sub(r"^(audio_branch|encoder)\.", "audio_model.audio_encoder.", name).replace("bn0", "batch_norm")
    return re.sub(r"^(audio_projection|proj)\.0$", "audio_projection.linear1", name)


def check_run(data, tower, inputs, outputs, *, skip=()):
    names = {label: our_name(label) for label in data["checkpoints"] if label not in skip}
    with torch.no_grad(), golden.Watch(tower.model, names) as seen:
        encoding = tower(inputs)
    for label, tensor in seen.items():
        golden.close_statistics(tensor, data["checkpoints"][label], label)
    pooled = encoding.pooled
    golden.close_vectors(F.normalize(pooled, dim=-1), data["outputs"][outputs], atol=EMBEDDING)
    return encoding


@pytest.mark.parametrize("name", LAION)
def test_laion_clap(name):
    data = golden.load(name)
    tower = build(data, from_laion, quantise=True)
    samples = [tower.processor.load(value) for value in golden.waves(data).values()]
    inputs = tower.processor.collate(samples)
    assert inputs["x"].shape == (len(samples), 1, 1001, 64)
    golden.close_statistics(inputs["x"], data["checkpoints"]["audio_branch.logmel_extractor"], "logmel")
    kernels = ("audio_branch.spectrogram_extractor", "audio_branch.logmel_extractor")
    encoding = check_run(data, tower, inputs, "audio_embedding_normalised", skip=kernels)
    golden.close_vectors(encoding.pooled, data["outputs"]["projected_before_norm"])
    with torch.no_grad():
        pooled = tower.model.audio_model(input_features=inputs["x"]).pooler_output
    golden.close_vectors(pooled, data["outputs"]["encoder_embedding"])


@pytest.mark.parametrize("name", FUSED)
def test_laion_clap_with_fusion(name):
    data = golden.load(name)
    tower = build(data, from_laion, quantise=True, fusion=True, antialias=True)
    samples = []
    for entry, (wave, rate) in zip(data["inputs"], golden.waves(data).values()):
        sample = tower.processor.load((wave, rate))
        assert bool(sample["longer"]) == entry["longer"]
        if entry["longer"]:  # the origin draws the windows; the processor takes the middle of each third
            mel = log_spectrogram(tower.processor._prepared(wave, None), tower.processor.front)
            assert len(mel) == entry["total_frames"]
            starts = tuple(entry["chunk_starts_front_mid_back"])
            assert fusion_views(mel, 1001, starts, antialias=True)[0].equal(sample["x"][0, 0])
            sample["x"] = fusion_views(mel, 1001, starts, antialias=True)[None]
            if "mel_shrink_antialias_false" in entry:
                plain = fusion_views(mel, 1001, starts, antialias=False)[0]
                golden.close_statistics(plain, entry["mel_shrink_antialias_false"], "shrink")
        for view, want in zip(sample["x"][0], entry["mel_fusion"]):
            golden.close_statistics(view, want, entry["id"])
        samples.append(sample)
    encoding = check_run(data, tower, tower.processor.collate(samples), "audio_embedding_normalised")
    golden.close_vectors(encoding.pooled, data["outputs"]["projected_before_norm"])


@pytest.mark.parametrize("name", ["hf_clap", "hf_clap_fusion"])
def test_transformers_clap(name):
    data = golden.load(name)
    fusion = data["config"]["audio_config"]["enable_fusion"]
    tower = build(data, lambda drawn: {n: v for n, v in drawn.items() if n.startswith("audio")}, fusion=fusion, fmin=0)
    rows = []
    for entry, (wave, rate) in zip(data["inputs"], golden.waves(data).values()):
        sample = tower.processor.load((wave, rate))
        if fusion:  # the origin draws the windows and marks one clip of a batch as longer
            sample["longer"] = torch.tensor([entry["is_longer"]])
            front = tower.processor.front
            mel = log_spectrogram(torch.from_numpy(fit(wave, max(len(wave), front.samples), "repeatpad")), front)
            if len(mel) > 1001:
                random = np.random.RandomState(entry["numpy_random_seed_before_features"])
                starts = tuple(int(random.choice(part)) for part in np.array_split(range(len(mel) - 1001 + 1), 3))
                sample["x"] = fusion_views(mel, 1001, starts, antialias=False)[None]
        for view, want in zip(sample["x"][0], entry["input_features"]):
            golden.close_statistics(view, want, entry["id"])
        rows.append(sample)
    encoding = check_run(data, tower, tower.processor.collate(rows), "audio_embeds")
    assert encoding.tokens.shape == (2, 64, 512)


def test_open_clip():
    data = golden.load("open_clip_htsat_tiny")
    tower = build(data, lambda drawn: from_laion(drawn, "encoder.", "proj."))
    inputs = tower.processor.collate([tower.processor.load(value) for value in golden.waves(data).values()])
    golden.close_statistics(inputs["x"], data["checkpoints"]["encoder.logmel_extractor"], "logmel")
    check_run(data, tower, inputs, "normalised", skip=("encoder.logmel_extractor",))


def test_a_missing_bias_or_mask_would_be_noticed():
    data = golden.load("laion_clap_htsat_tiny_fanin")
    tower = build(data, from_laion, quantise=True)
    with torch.no_grad():
        for name, parameter in tower.named_parameters():
            if "relative_position_bias_table" in name:
                parameter.zero_()
    value = next(iter(golden.waves(data).values()))
    with torch.no_grad():
        found = F.normalize(tower(tower.processor.collate([tower.processor.load(value)])).pooled, dim=-1)
    want = torch.tensor(data["outputs"]["audio_embedding_normalised"][0]["values"])
    assert float((found[0] - want).abs().max()) > 1e-3
