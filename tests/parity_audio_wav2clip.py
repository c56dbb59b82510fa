"""Wav2CLIP: each clip alone, over the batch as published, and frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from parity_audio_golden import checkpoint, close, line, statistics, vectors, waves
from parity_audio_model import imported, loaded, spectrum, watched
from parity_report import Line

from anyclip.model import JointModel, build_model
from anyclip.testing.reference import Difference

SPECTRUM, STANDARD = "encoder.spectrogram", "normalised_log_spectrogram"
POOLED, PROJECTED = "encoder", "transform"


def run(path: Path, data: dict[str, Any]) -> Iterator[Line]:
    state = checkpoint(data, lambda name, shape: None)
    published = {f"audio_{name}": x for name, x in state.items()}  # the names of the training program
    with imported("wav2clip", {"state_dict": published}) as (model, config):
        for label, value in waves(data).items():
            want = data["outputs"]["embedding_each_alone"][list(waves(data)).index(label)]
            recorded = data["checkpoints"][label]
            yield line(f"{path.stem} {label} preprocessing", preprocessing(model, value, recorded))
            inner = [n for n in recorded if n.startswith("encoder.") and n != SPECTRUM] + [PROJECTED]
            names = {n: f"towers.audio.model.{n}" for n in inner}
            names[POOLED] = "towers.audio.model.encoder.avgpool"
            shaped = {POOLED: {**recorded[POOLED], "shape": [*recorded[POOLED]["shape"], 1, 1]}}
            shaped[POOLED].pop("corners_2d_of_first", None)
            inputs = loaded(model, [value])
            _, features, compared = watched(model, "audio", inputs, {"checkpoints": {**recorded, **shaped}}, names)
            yield line(f"{path.stem} {label} audio", compared + vectors("embedding", features, [want]))
        yield line(f"{path.stem} over the batch", published_batch(model, config, data))


def preprocessing(model: JointModel, value: Any, recorded: dict[str, Any]) -> list[Difference]:
    x = loaded(model, [value])["x"].transpose(2, 3)
    want = recorded[STANDARD]
    compared = statistics(STANDARD, x, want)
    power = spectrum(model, value).T[None, None]
    compared += statistics(SPECTRUM, power, recorded[SPECTRUM])
    log = (power + 1e-7).log()
    compared.append(close("mean of the logarithm", log.mean(), want["log_mean"], atol=1e-5))
    return [*compared, close("deviation of the logarithm", log.std(), want["log_std_unbiased"], atol=1e-5)]


def published_batch(model: JointModel, config: Any, data: dict[str, Any]) -> list[Difference]:
    """The origin standardises over the whole batch: an option of the tower, for embeddings as published."""
    values, outputs = waves(data), data["outputs"]
    first = len(next(iter(values.values()))[0])
    equal = [value for value in values.values() if len(value[0]) == first]
    compared = vectors("batch", embedded(model, config, equal), outputs["batch_of_equal_length_inputs"])
    frames = outputs["frame_mode"]
    wave, rate = values[frames["input"]]
    size = frames["frame_length"]
    parts = [(wave[i : i + size], rate) for i in range(0, len(wave) - size + 1, frames["hop_length"])]
    found = embedded(model, config, parts, seconds=size / rate)
    compared.append(close("frames", list(found.shape), frames["shape"][:0:-1], atol=0.5))
    return compared + vectors("frame mode", found[: len(frames["frames_as_rows"])], frames["frames_as_rows"])


def embedded(model: JointModel, config: Any, values: list[Any], **options: Any) -> torch.Tensor:
    """Vectors of the same weights with `published_batch`."""
    tower = config.model.towers["audio"]
    tower = replace(tower, options={**tower.options, "published_batch": True, **options})
    whole = build_model(replace(config.model, towers={"audio": tower})).eval()
    whole.load_state_dict(model.state_dict())
    with torch.no_grad():
        return whole.features("audio", whole.encode("audio", loaded(whole, values)))
