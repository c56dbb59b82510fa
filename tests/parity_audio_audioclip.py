"""AudioCLIP: waveform to embedding, CLIP's image and text towers, three pairs and their loss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anyclip_audio.fbsp import blackman_harris
from parity_audio_golden import Watch, checkpoint, close, line, sound, statistics, vectors, waves
from parity_audio_model import imported, loaded, padded, summary, text_inputs, watched, waveform
from parity_graph import Graph
from parity_graph import run as run_graph
from parity_report import Line
from torch import Tensor
from torch.nn import functional as F

from anyclip.config import Config
from anyclip.model import JointModel
from anyclip.testing.reference import Difference

FULL, PADDED = 2e-5, 5e-3  # embeddings of full-length and of padded clips, whose dB values are rounding noise
EXTREMES = ("min", "max")


def run(path: Path, data: dict[str, Any]) -> Iterator[Line]:
    state = checkpoint(data, own)
    with imported("audioclip", state, tokenizer="bytes") as (model, config):
        yield line(f"{path.stem} preprocessing", preprocessing(model, data))
        encoding, sounds, compared = audio(model, data)
        yield line(f"{path.stem} audio", compared)
        images, compared = image(model, data)
        yield line(f"{path.stem} image", compared)
        texts, compared = text(model, data)
        yield line(f"{path.stem} text", compared)
        features = {"audio": sounds, "image": images, "text": texts}
        yield line(f"{path.stem} loss", loss(config, features, encoding.terms["fbsp"].mean(), data["outputs"]))


def own(name: str, shape: list[int]) -> Tensor | None:
    """Values that the recipe keeps, or adds to: those of the published constructor."""
    return {
        "logit_scale": lambda: torch.tensor(1.0),
        "logit_scale_ai": lambda: torch.tensor(math.log(100)),
        "logit_scale_at": lambda: torch.tensor(math.log(100)),
        "audio.window": lambda: blackman_harris(shape[0]),
        "audio.fbsp.fc": lambda: torch.arange(shape[0], dtype=torch.float32),
    }.get(name, lambda: None)()


def preprocessing(model: JointModel, data: dict[str, Any]) -> list[Difference]:
    compared = []
    for entry, value in zip(data["inputs"], waves(data).values()):
        wave, want = waveform(model, value) * entry["scaled_by"], entry["after_eval_transforms"]
        compared.append(close(f"{entry['id']} length", [1, len(wave)], want["shape"], atol=0.5, rtol=0))
        compared += summary(entry["id"], wave, {**want, "len": want["shape"][1]})
        compared.append(close(f"{entry['id']} mid", wave[len(wave) // 2], want["mid"], atol=0, rtol=1e-6))
    spec, scale, rate = data["inputs"][0]["spec"], data["inputs"][0]["scaled_by"], data["inputs"][0]["sample_rate"]
    for name, want in data["crop_fallback"].items():
        signal = np.zeros(400_000, np.float32)
        signal[slice(40_000) if name.endswith("start") else slice(-40_000, None)] = sound(spec, 40_000, rate)
        found = float((waveform(model, (signal, rate)).double() * scale).abs().sum())
        compared.append(close(name, found, want["sum_abs"], atol=1e-6, rtol=1e-6))
    return compared


def audio(model: JointModel, data: dict[str, Any]) -> tuple[Any, Tensor, list[Difference]]:
    """The file states its own tolerance from the decibels on: 1e-3 of the rms, extremes 1e-2, padded rows apart."""
    recorded = data["checkpoints"]
    names = {n: f"towers.audio.model.{n[6:]}" for n in recorded if n.startswith("audio.")}
    inputs = loaded(model, list(waves(data).values()))
    with torch.no_grad(), Watch(model, names) as seen:
        encoding = model.encode("audio", inputs)
        features = model.features("audio", encoding)
        x_db, _ = model.tower("audio").model.image(inputs["x"])  # type: ignore[operator, union-attr]
    seen["x_db"] = x_db
    seen["pooled_after_att5"] = (seen["audio.avgpool"] * seen["audio.att5"]).flatten(1)
    compared = statistics("audio.fbsp", seen.pop("audio.fbsp"), recorded["audio.fbsp"])
    compared.append(close("x_db channel means", x_db.mean(dim=(0, 2, 3)), recorded["x_db_channel_means"], atol=0))
    for name, tensor in seen.items():
        loose = dict.fromkeys(EXTREMES, 1e-2)
        if tensor.ndim == 2:  # the last row is the padded clip
            loose |= dict.fromkeys(("[-1,0]", "[-1,-1]"), PADDED)
        compared += statistics(name, tensor, recorded[name], share=1e-3, loose=loose)
    unit, want = F.normalize(features, dim=-1), data["outputs"]["audio_features"]
    compared += vectors("audio_features", unit[:2], want[:2], atol=FULL)
    compared += vectors("audio_features of the padded clip", unit[2:], want[2:], atol=PADDED)
    norms = features.norm(dim=-1)
    compared.append(close("raw norms", norms, data["outputs"]["raw_norms"]["audio"], atol=0))
    compared.append(close("loss_ttf", encoding.terms["fbsp"].mean(), data["outputs"]["loss_ttf"], atol=0))
    return encoding, features, compared


def image(model: JointModel, data: dict[str, Any]) -> tuple[Tensor, list[Difference]]:
    names = {n: n.replace("visual.", "towers.image.model.") for n in data["checkpoints"] if n.startswith("visual.")}
    _, features, compared = watched(model, "image", {"pixels": pixels(3, data)}, data, names)
    return features, compared + unit_and_norm("image", features, data)


def pixels(count: int, data: dict[str, Any]) -> Tensor:
    """The file's formula: images that are normalised already, [N, 3, H, W]."""
    size, phase = data["image_resolution"], data["image_phase_p"]
    n, c, y, x = np.meshgrid(*(np.arange(k) for k in (count, 3, size, size)), indexing="ij")
    waves = np.sin(0.05 * (c + 1) * (2 * n + 1) * x + 0.3 * n + phase)
    return torch.from_numpy((waves + 0.5 * np.cos(0.031 * (c + 2) * y * (n + 1))).astype(np.float32))


def text(model: JointModel, data: dict[str, Any]) -> tuple[Tensor, list[Difference]]:
    inputs = padded(text_inputs(data["tokens"]), data["config"]["context_length"], pad=0)
    names = {name: f"towers.text.model.{name}" for name in ("transformer", "ln_final")}
    with torch.no_grad(), Watch(model, names) as seen:
        features = model.features("text", model.encode("text", inputs))
    compared = statistics("transformer", seen["transformer"].transpose(0, 1), data["checkpoints"]["transformer"])
    compared += statistics("ln_final", seen["ln_final"], data["checkpoints"]["ln_final"])
    return features, compared + unit_and_norm("text", features, data)


def unit_and_norm(stream: str, features: Tensor, data: dict[str, Any]) -> list[Difference]:
    outputs = data["outputs"]
    compared = vectors(f"{stream}_features", F.normalize(features, dim=-1), outputs[f"{stream}_features"], atol=2e-6)
    return [*compared, close(f"{stream} raw norms", features.norm(dim=-1), outputs["raw_norms"][stream], atol=0)]


def loss(config: Config, features: dict[str, Tensor], fbsp: Tensor, outputs: dict[str, Any]) -> list[Difference]:
    """The three pairs of the imported config with its scales and reduction, all together and each alone."""
    entries = [
        {
            "pair": edge.pair,
            "loss": {"name": edge.loss.name, "options": edge.loss.options},
            "scale": {"init": edge.scale.init, "max": edge.scale.max},
        }
        for edge in config.objectives
    ]
    assert config.pair_reduction == "factorial"
    extra = [(1.0, fbsp)]  # AudioCLIP adds its kernels' norm loss wherever there is audio, after the division
    total = run_graph(Graph(entries, features, reduction="factorial", extra=extra), {})["loss"]
    compared = [close("three-way loss", total, outputs["loss_three_way_with_ttf"], atol=1e-4)]
    alone = outputs["loss_of_pairs_alone"]
    for entry in entries:
        a, b = entry["pair"]
        scale = entry["scale"]["init"]
        found = scale * F.normalize(features[a], dim=-1) @ F.normalize(features[b], dim=-1).T
        with_audio = extra if "audio" in (a, b) else []
        one = run_graph(Graph([entry], features, reduction="factorial", extra=with_audio), {})["loss"]
        # the padded clip's embedding is only good to its own tolerance
        tolerance = 1e-3 if "audio" in (a, b) else 1e-5
        compared.append(
            close(
                f"logits {a}-{b}", found, outputs[f"logits_{a}_{b}"], atol=scale * (1e-5 if "audio" in (a, b) else 2e-6)
            )
        )
        compared.append(close(f"loss {a}-{b}", one, alone[f"{a}_{b}"], atol=tolerance))
    return compared
