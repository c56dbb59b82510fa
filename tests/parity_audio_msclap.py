"""MS-CLAP 2022 (Cnn14, BERT) and 2023 (HTSAT, GPT-2)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from parity_audio_golden import checkpoint, close, left, line, statistics, vectors, waves
from parity_audio_laion import CLASSES, own
from parity_audio_model import imported, loaded, padded, spectrum, summary, text_inputs, watched, waveform
from parity_report import Line
from torch import Tensor
from torch.nn import functional as F

from anyclip.config import Config
from anyclip.model import JointModel
from anyclip.testing.reference import Difference

CONTEXT = {"bert": 100, "gpt2": 77}  # tokens that the published program pads to


def run(path: Path, data: dict[str, Any]) -> Iterator[Line]:
    state = checkpoint(data, own)
    with imported("msclap", {"model": state}, tokenizer="bytes") as (model, config):
        inputs = loaded(model, list(waves(data).values()))
        yield line(f"{path.stem} preprocessing", preprocessing(model, inputs, data))
        embeddings, compared = audio(model, inputs, data)
        yield line(f"{path.stem} audio", compared)
        yield line(f"{path.stem} text", text(model, config, embeddings, data["outputs"]))
    yield left(f"{path.stem} class_output", CLASSES)


def front_of(data: dict[str, Any]) -> tuple[str, str]:
    """The file's names of the spectrogram and of its logarithmic mel bands."""
    power = next(name for name in data["checkpoints"] if name.endswith("spectrogram_extractor"))
    return power, power.replace("spectrogram", "logmel")


def preprocessing(model: JointModel, inputs: Any, data: dict[str, Any]) -> list[Difference]:
    compared, values = [], list(waves(data).values())
    for entry, value in zip(data["inputs"], values):
        compared += summary(entry["id"], waveform(model, value), entry["after_preprocessing"])
    power, logmel = front_of(data)
    compared += statistics(
        power, torch.stack([spectrum(model, v) for v in values])[:, None], data["checkpoints"][power]
    )
    return compared + statistics(logmel, inputs["x"], data["checkpoints"][logmel])


def audio(model: JointModel, inputs: Any, data: dict[str, Any]) -> tuple[Tensor, list[Difference]]:
    names = {label: submodule(label) for label in data["checkpoints"] if label not in front_of(data)}
    encoding, features, compared = watched(model, "audio", inputs, data, names)
    compared += vectors("encoder_embedding", encoding.pooled, data["outputs"]["encoder_embedding"])
    return features, compared + vectors("audio_embedding", features, data["outputs"]["audio_embedding"])


def submodule(label: str) -> str:
    """A checkpoint of the file -> our submodule."""
    for theirs, ours in (
        ("audio_encoder.projection.linear1", "projections.audio.first"),
        ("audio_encoder.projection.layer_norm", "projections.audio.norm"),
        ("audio_encoder.base.htsat.bn0", "towers.audio.model.audio_encoder.batch_norm"),
        ("audio_encoder.base.htsat.", "towers.audio.model.audio_encoder."),
        ("audio_encoder.base.", "towers.audio.model."),
    ):
        if label.startswith(theirs):
            return ours + label[len(theirs) :]
    return label


def text(model: JointModel, config: Config, audio: Tensor, outputs: dict[str, Any]) -> list[Difference]:
    given = outputs["text"]
    inputs = text_inputs(given["input_ids"], given["attention_mask"])
    with torch.no_grad():
        features = model.features("text", model.encode("text", inputs))
        longer = padded(inputs, CONTEXT[config.model.towers["text"].options["model"]["model_type"]], pad=0)
        again = model.features("text", model.encode("text", longer))
    compared = vectors("text embedding", features, given["embedding"])
    compared.append(close("padded as published", again, features, atol=1e-5))
    scale = config.objectives[0].scale.init  # the file's similarities contain it
    assert math.isclose(scale, 1 / 0.07, rel_tol=1e-6)
    found = scale * F.normalize(audio, dim=-1) @ F.normalize(features, dim=-1).T
    compared.append(close("similarity_audio_x_text", found, outputs["similarity_audio_x_text"], atol=scale * 2e-6))
    return compared
