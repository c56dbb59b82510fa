"""LAION-CLAP: HTSAT with fusion and without, PANN, RoBERTa, their projections and the heads of the training loss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from anyclip_audio.names import relative_position_index
from parity_audio_golden import (
    EMBEDDING,
    checkpoint,
    close,
    left,
    line,
    statistics,
    vectors,
    waves,
)
from parity_audio_model import fused, imported, padded, spectrum, summary, text_inputs, watched, waveform
from parity_report import Line
from torch import Tensor
from torch.nn import functional as F

from anyclip.config.schema import HeadConfig
from anyclip.model import JointModel
from anyclip.objectives.heads import Head
from anyclip.testing.reference import Difference

FRONT = ("audio_branch.spectrogram_extractor", "audio_branch.logmel_extractor")
CLASSES = "the AudioSet classifier is no part of the joint space; the importer leaves it out"


def run(path: Path, data: dict[str, Any]) -> Iterator[Line]:
    state = checkpoint(data, own)
    saved = {"epoch": 45, "name": path.stem, "state_dict": {f"module.{name}": x for name, x in state.items()}}
    with imported("laion-clap", saved, tokenizer="bytes") as (model, config):
        assert math.isclose(config.objectives[0].scale.init, 1 / 0.07, rel_tol=1e-6)
        inputs, compared = preprocessing(model, data)
        yield line(f"{path.stem} preprocessing", compared)
        embeddings, compared = audio(model, inputs, data)
        yield line(f"{path.stem} audio", compared)
        yield line(f"{path.stem} loss heads", heads(state, embeddings, data))
        if "text" in data:
            yield line(f"{path.stem} text", text(model, embeddings, data["text"]))
    if "clipwise_output_first8" in data["outputs"]:
        yield left(f"{path.stem} clipwise_output", CLASSES)


def own(name: str, shape: list[int]) -> Tensor | None:
    """Values that the recipe keeps: the model's own."""
    if name.startswith("logit_scale"):
        return torch.tensor(math.log(1 / 0.07))
    if name.endswith("relative_position_index"):
        return relative_position_index(round(shape[0] ** 0.5))
    return None


def preprocessing(model: JointModel, data: dict[str, Any]) -> tuple[Any, list[Difference]]:
    """Inputs of the model with the windows of long sounds where the file has them, and their comparison."""
    processor, compared, samples = model.processor("audio"), [], []
    for entry, value in zip(data["inputs"], waves(data).values()):
        sample = processor.load(value)
        if not entry["longer"]:
            wave = waveform(model, value)
            compared += summary(entry["id"], wave, entry["features_waveform"])
            compared.append(close(f"{entry['id']} quantised", wave[:4], entry["quantised_first4"], atol=1e-8))
        if "longer" in sample:
            compared.append(close(f"{entry['id']} longer", sample["longer"], [entry["longer"]], atol=0.5))
            views, more = fusion(processor, entry, value, sample)
            sample["x"], compared = views[None], compared + more
        samples.append(sample)
    inputs = processor.collate(samples)
    if not processor.front.fusion:
        power = torch.stack([spectrum(model, value) for value in waves(data).values()])[:, None]
        compared += statistics(FRONT[0], power, data["checkpoints"][FRONT[0]])
        compared += statistics(FRONT[1], inputs["x"], data["checkpoints"][FRONT[1]])
    return inputs, compared


def fusion(processor: Any, entry: dict[str, Any], value: Any, sample: Any) -> tuple[Tensor, list[Difference]]:
    """The four views of a sound; the origin draws the windows of a long one, our evaluation takes fixed ones."""
    views, compared = sample["x"][0], []
    if entry["longer"]:
        starts = entry["chunk_starts_front_mid_back"]
        own_shrink, views = views[0], fused(processor, value[0], starts, antialias=True)
        compared.append(close(f"{entry['id']} shrink of evaluation", own_shrink, views[0], atol=1e-6))
        plain = fused(processor, value[0], starts, antialias=False)[0]
        for name in ("mel_shrink_antialias_false", "mel_shrink_functional_bilinear"):
            if name in entry:
                compared += statistics(f"{entry['id']} {name}", plain, entry[name])
    for i, want in enumerate(entry["mel_fusion"]):
        compared += statistics(f"{entry['id']} view {i}", views[i], want)
    return views, compared


def audio(model: JointModel, inputs: Any, data: dict[str, Any]) -> tuple[Tensor, list[Difference]]:
    """Normalised embeddings, and every checkpoint and output of the audio side."""
    names = {label: submodule(label, model) for label in data["checkpoints"] if label not in FRONT}
    encoding, features, compared = watched(model, "audio", inputs, data, names)
    outputs, unit = data["outputs"], F.normalize(features, dim=-1)
    compared += vectors("encoder_embedding", encoding.pooled, outputs["encoder_embedding"])
    compared += vectors("projected_before_norm", features, outputs["projected_before_norm"])
    compared += vectors("audio_embedding_normalised", unit, outputs["audio_embedding_normalised"], atol=EMBEDDING)
    if "fine_grained_embedding" in outputs:
        # tokens are ordered as (mel rows, time): the file's latent is their mean over the rows, each column 32 times
        latent = encoding.tokens.unflatten(1, (2, -1)).mean(dim=1)
        want = outputs["fine_grained_embedding"]
        fine = latent.repeat_interleave(want["shape"][1] // latent.shape[1], dim=1)
        compared += statistics("fine_grained_embedding", fine, want)
    return unit, compared


def submodule(label: str, model: JointModel) -> str:
    """A checkpoint of the file -> our submodule."""
    if label.startswith("audio_projection"):
        return label.replace("audio_projection", "projections.audio").replace(".0", ".hidden")
    if hasattr(model.tower("audio").model, "audio_encoder"):
        label = label.replace("audio_branch.", "audio_branch.audio_encoder.").replace(".bn0", ".batch_norm")
    return label.replace("audio_branch.", "towers.audio.model.")


def heads(state: dict[str, Tensor], unit: Tensor, data: dict[str, Any]) -> list[Difference]:
    """The layers of the training loss are an edge's `heads` here, with the published names and values."""
    published = "audio_transform.sequential."
    head = Head(HeadConfig(dropout=0.1, normalize_inputs=True), unit.shape[1]).eval()
    layers = {k.replace(published, "layers."): x for k, x in state.items() if k.startswith(published)}
    head.load_state_dict(layers)
    with torch.no_grad():
        return vectors("audio_mlp_of_normalised", head(unit), data["outputs"]["audio_mlp_of_normalised"])


def text(model: JointModel, audio: Tensor, data: dict[str, Any]) -> list[Difference]:
    inputs = text_inputs(data["input_ids"], data["attention_mask"])
    with torch.no_grad():
        encoding = model.encode("text", inputs)
        unit = F.normalize(model.features("text", encoding), dim=-1)
    compared = statistics("pooler_output", encoding.pooled, data["pooler_output_stat"])
    compared += vectors("text_embedding_normalised", unit, data["text_embedding_normalised"], atol=EMBEDDING)
    with torch.no_grad():
        longer = model.embed("text", padded(inputs, 77, pad=1))
    compared.append(close("padded to 77", longer, unit, atol=EMBEDDING))
    want = data["similarity_audio_x_text"]
    compared.append(close("similarity_audio_x_text", audio @ unit.T, want, atol=EMBEDDING))
    return compared
