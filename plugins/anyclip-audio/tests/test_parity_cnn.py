"""`audio/pann` and `audio/wav2clip` against recorded values of LAION-CLAP, MS-CLAP and Wav2CLIP."""

from __future__ import annotations

import re

import pytest
import torch
from anyclip_audio.names import laion_htsat
from torch.nn import functional as F

from anyclip.towers.create import create_tower

from . import golden


def load(tower, drawn, prefix, convert=lambda state: state):
    """The tower with the drawn tensors under `prefix`."""
    state = convert({n.removeprefix(prefix): v for n, v in drawn.items() if n.startswith(prefix)})
    own = tower.model.state_dict()
    state = {n: v for n, v in state.items() if not n.startswith(("fc_audioset.", "transform_"))}
    assert set(state) <= set(own), sorted(set(state) - set(own))[:4]
    missing = set(own) - set(state)
    assert all(re.search("relative_position_index|num_batches_tracked", n) for n in missing), sorted(missing)[:4]
    tower.model.load_state_dict({**own, **state})
    return tower.eval()


def run(tower, data, names, values):
    """Encoding of values; checkpoints label -> submodule are compared on the way."""
    inputs = tower.processor.collate([tower.processor.load(value) for value in values])
    with torch.no_grad(), golden.Watch(tower.model, names) as seen:
        encoding = tower(inputs)
    for label, tensor in seen.items():
        golden.close_statistics(tensor, data["checkpoints"][label], label)
    return inputs, encoding


def test_laion_clap_pann14():
    data = golden.load("laion_clap_pann14")
    drawn = golden.draw(data, lambda name: None)
    tower = load(create_tower("audio/pann", quantise=True), drawn, "audio_branch.")
    names = {f"audio_branch.{n}": n for n in ("bn0", "conv_block1", "conv_block4", "conv_block6")}
    inputs, encoding = run(tower, data, names, golden.waves(data).values())
    golden.close_statistics(inputs["x"], data["checkpoints"]["audio_branch.logmel_extractor"], "logmel")
    golden.close_vectors(encoding.pooled, data["outputs"]["encoder_embedding"])
    hidden = F.linear(encoding.pooled, drawn["audio_projection.0.weight"], drawn["audio_projection.0.bias"])
    found = F.linear(F.relu(hidden), drawn["audio_projection.2.weight"], drawn["audio_projection.2.bias"])
    golden.close_vectors(found, data["outputs"]["projected_before_norm"])
    golden.close_vectors(F.normalize(found, dim=-1), data["outputs"]["audio_embedding_normalised"], atol=2e-6)


def _msclap_projection(drawn, x):
    weight = {n.removeprefix("audio_encoder.projection."): v for n, v in drawn.items()}
    first = F.linear(x, weight["linear1.weight"])
    second = F.linear(F.gelu(first), weight["linear2.weight"])
    return F.layer_norm(first + second, first.shape[1:], weight["layer_norm.weight"], weight["layer_norm.bias"])


def test_msclap_2022():
    data = golden.load("msclap_2022_cnn14")
    drawn = golden.draw(data, lambda name: None)
    tower = create_tower("audio/pann", sample_rate=44_100, seconds=5.0, hop=320, short="repeat")
    tower = load(tower, drawn, "audio_encoder.base.")
    names = {f"audio_encoder.base.{n}": n for n in ("bn0", "conv_block1", "conv_block4", "conv_block6")}
    inputs, encoding = run(tower, data, names, golden.waves(data).values())
    golden.close_statistics(inputs["x"], data["checkpoints"]["audio_encoder.base.logmel_extractor"], "logmel")
    golden.close_vectors(encoding.pooled, data["outputs"]["encoder_embedding"])
    golden.close_vectors(_msclap_projection(drawn, encoding.pooled), data["outputs"]["audio_embedding"])


def test_msclap_2023():
    data = golden.load("msclap_2023_htsat")
    drawn = golden.draw(data, lambda name: None)
    tower = create_tower("audio/htsat", sample_rate=44_100, seconds=7.0, hop=320, short="repeat", mel_rate=32_000)

    def convert(state):
        return {f"audio_encoder.{n}": v for n, v in laion_htsat(state).items()}

    tower = load(tower, drawn, "audio_encoder.base.htsat.", convert)
    base = "audio_encoder.base.htsat."
    names = {
        label: f"audio_encoder.{label.removeprefix(base).replace('bn0', 'batch_norm')}"
        for label in data["checkpoints"]
        if label.startswith(base) and "extractor" not in label
    }
    inputs, encoding = run(tower, data, names, golden.waves(data).values())
    golden.close_statistics(inputs["x"], data["checkpoints"][f"{base}logmel_extractor"], "logmel")
    golden.close_vectors(_msclap_projection(drawn, encoding.pooled), data["outputs"]["audio_embedding"])


def test_wav2clip_alone():
    data = golden.load("wav2clip")
    tower = load(create_tower("audio/wav2clip", output="projected"), golden.draw(data, lambda name: None), "")
    for (label, value), want in zip(golden.waves(data).items(), data["outputs"]["embedding_each_alone"]):
        recorded = data["checkpoints"][label]
        names = {n: n for n in recorded if re.fullmatch(r"encoder\.(conv1|maxpool|layer\d|avgpool)", n)}
        with torch.no_grad(), golden.Watch(tower.model, names) as seen:
            inputs = tower.processor.collate([tower.processor.load(value)])
            found = tower(inputs).pooled
        golden.close_statistics(inputs["x"].transpose(2, 3), recorded["normalised_log_spectrogram"], label)
        assert len(seen) == 7
        for name, tensor in seen.items():
            golden.close_statistics(tensor, recorded[name], f"{label} {name}")
        golden.close_vectors(found, [want])


def test_wav2clip_as_published_over_the_batch():
    data = golden.load("wav2clip")
    drawn = golden.draw(data, lambda name: None)
    tower = load(create_tower("audio/wav2clip", output="projected", published_batch=True), drawn, "")
    values = golden.waves(data)
    _, encoding = run(tower, data, {}, values.values())
    golden.close_vectors(encoding.pooled, data["outputs"]["batch_of_equal_length_inputs"])
    frames = data["outputs"]["frame_mode"]
    wave, rate = values[frames["input"]]
    size = frames["frame_length"]
    parts = [(wave[i : i + size], rate) for i in range(0, len(wave) - size + 1, frames["hop_length"])]
    tower = load(create_tower("audio/wav2clip", output="projected", published_batch=True, seconds=1.0), drawn, "")
    _, encoding = run(tower, data, {}, parts)
    assert list(encoding.pooled.shape) == [frames["shape"][2], frames["shape"][1]]
    golden.close_vectors(encoding.pooled[: len(frames["frames_as_rows"])], frames["frames_as_rows"])


def test_too_few_frames_for_the_halvings_are_named():
    from anyclip.errors import UserError

    with pytest.raises(UserError, match="8 n_mels are too few for 5 halvings"):
        create_tower("audio/pann", n_mels=8)
