"""CLAP of transformers, with fusion and without, and HTSAT of open_clip 4.2."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from anyclip_audio.processor import AudioProcessor
from parity_audio_golden import EMBEDDING, checkpoint, close, line, statistics, vectors, waves
from parity_audio_laion import own
from parity_audio_model import fused, imported, loaded, text_inputs, watched
from parity_report import Line
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from anyclip.config import Config
from anyclip.model import JointModel
from anyclip.testing.reference import Difference

LOGMEL = "encoder.logmel_extractor"


def run(path: Path, data: dict[str, Any]) -> Iterator[Line]:
    yield from (open_clip if path.stem.startswith("open_clip") else of_transformers)(path, data)


def of_transformers(path: Path, data: dict[str, Any]) -> Iterator[Line]:
    state = checkpoint(data, constants)

    def save(folder: Path) -> None:
        text, audio = data["config"]["text_config"], data["config"]["audio_config"]
        fusion = {"fusion_type": "aff_2d"} if audio["enable_fusion"] else {}
        config = transformers.ClapConfig(text_config=text, audio_config={**audio, **fusion})
        config.save_pretrained(folder)
        transformers.ClapFeatureExtractor().save_pretrained(folder)
        save_file({name: x.contiguous() for name, x in state.items()}, folder / "model.safetensors")

    with imported("transformers-clap", save, tokenizer="bytes") as (model, config):
        inputs, compared = features(model.processor("audio"), data)  # type: ignore[arg-type]
        yield line(f"{path.stem} preprocessing", compared)
        names = {label: f"towers.audio.model.{label}" for label in data["checkpoints"]}
        wanted, pooled = data["outputs"], []
        module = model.get_submodule("towers.audio.model.audio_model")
        handle = module.register_forward_hook(lambda _, __, out: pooled.append(out.pooler_output))
        _, found, compared = watched(model, "audio", inputs, data, names)
        handle.remove()
        unit = F.normalize(found, dim=-1)
        compared += vectors("audio_pooler_output", pooled[0], wanted["audio_pooler_output"])
        compared += vectors("audio_embeds", unit, wanted["audio_embeds"], atol=EMBEDDING)
        yield line(f"{path.stem} audio", compared)
        yield line(f"{path.stem} text", text_side(model, config, unit, data))


def constants(name: str, shape: list[int]) -> Tensor | None:
    """Values that the recipe keeps: the library's own."""
    if name.endswith("position_ids"):
        return torch.arange(shape[1])[None]
    return own(name, shape)


def features(processor: AudioProcessor, data: dict[str, Any]) -> tuple[Any, list[Difference]]:
    """Inputs, with the windows that the extractor drew, and a clip that it marked as longer by chance."""
    compared, samples = [], []
    for entry, (wave, rate) in zip(data["inputs"], waves(data).values()):
        sample = processor.load((wave, rate))
        if "longer" in sample:
            total = len(wave) // processor.front.hop + 1
            if total > processor.front.frames:
                starts = drawn(entry["numpy_random_seed_before_features"], total - processor.front.frames + 1)
                sample["x"] = fused(processor, wave, starts, antialias=False)[None]
            sample["longer"] = torch.tensor([entry["is_longer"]])
        for i, want in enumerate(entry["input_features"]):
            compared += statistics(f"{entry['id']} view {i}", sample["x"][0, i], want)
        samples.append(sample)
    return processor.collate(samples), compared


def drawn(seed: int, count: int) -> list[int]:
    """The extractor's three starts: one of each third of the possible ones."""
    random = np.random.RandomState(seed)
    return [int(random.choice(part)) for part in np.array_split(range(count), 3)]


def text_side(model: JointModel, config: Config, audio: Tensor, data: dict[str, Any]) -> list[Difference]:
    with torch.no_grad():
        unit = model.embed("text", text_inputs(data["tokens"]))
    compared = vectors("text_embeds", unit, data["outputs"]["text_embeds"], atol=EMBEDDING)
    scale = config.objectives[0].scale.init
    assert math.isclose(scale, 1 / 0.07, rel_tol=1e-6)
    logits = scale * audio @ unit.T
    compared.append(close("logits_per_audio", logits, data["outputs"]["logits_per_audio"], atol=scale * EMBEDDING))
    compared.append(close("logits_per_text", logits.T, data["outputs"]["logits_per_text"], atol=scale * EMBEDDING))
    return compared


def open_clip(path: Path, data: dict[str, Any]) -> Iterator[Line]:
    """The file has the audio tower only; the checkpoint gets a small text tower of open_clip's layout."""
    state = {f"audio.{name}": x for name, x in checkpoint(data, own).items()} | text_tower(data["config"]["embed_dim"])
    config = {
        "embed_dim": data["config"]["embed_dim"],
        "audio_cfg": {k: v for k, v in data["config"].items() if k != "embed_dim"},
        "text_cfg": {"hf_model_name": "roberta-base", "hf_pooler_type": "cls_pooler", "hf_proj_type": "clap_mlp"},
    }
    with imported("open-clip-clap", {"state_dict": state}, tokenizer="bytes", config=config) as (model, _):
        inputs = loaded(model, list(waves(data).values()))
        yield line(f"{path.stem} preprocessing", statistics(LOGMEL, inputs["x"], data["checkpoints"][LOGMEL]))
        names = {label: submodule(label) for label in data["checkpoints"] if label != LOGMEL}
        encoding, projected, compared = watched(model, "audio", inputs, data, names)
        outputs = data["outputs"]
        compared += vectors("encoder_features", encoding.pooled, outputs["encoder_features"])
        compared += vectors("projected", projected, outputs["projected"])
        compared += vectors("normalised", F.normalize(projected, dim=-1), outputs["normalised"], atol=EMBEDDING)
        yield line(f"{path.stem} audio", compared)
        yield line(f"{path.stem} text", open_clip_text(model, state))


def submodule(label: str) -> str:
    """A checkpoint of open_clip's file -> our submodule."""
    if label == "proj.0":
        return "projections.audio.hidden"
    return label.replace("encoder.", "towers.audio.model.audio_encoder.").replace("bn0", "batch_norm")


def text_tower(dim: int) -> dict[str, Tensor]:
    """A small RoBERTa with random weights and open_clip's projection, and the scale."""
    torch.manual_seed(0)
    roberta = transformers.RobertaModel(roberta_config())
    layers = torch.nn.Sequential(torch.nn.Linear(64, dim), torch.nn.ReLU(), torch.nn.Linear(dim, dim))
    state = {f"text.transformer.{name}": x for name, x in roberta.state_dict().items()}
    state |= {f"text.proj.{name}": x for name, x in layers.state_dict().items()}
    return {**state, "logit_scale": torch.tensor(math.log(1 / 0.07))}


def roberta_config() -> Any:
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 96}
    return transformers.RobertaConfig(
        **sizes, vocab_size=300, max_position_embeddings=130, type_vocab_size=1, layer_norm_eps=1e-5
    )


def open_clip_text(model: JointModel, state: dict[str, Tensor]) -> list[Difference]:
    """The text tower against the library's own modules with the same weights."""
    roberta = transformers.RobertaModel(roberta_config()).eval()
    prefix = "text.transformer."
    roberta.load_state_dict({name[len(prefix) :]: x for name, x in state.items() if name.startswith(prefix)})
    ids = torch.randint(3, 300, (2, 12), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        hidden = roberta(ids, attention_mask=torch.ones_like(ids)).pooler_output
        hidden = F.relu(F.linear(hidden, state["text.proj.0.weight"], state["text.proj.0.bias"]))
        want = F.linear(hidden, state["text.proj.2.weight"], state["text.proj.2.bias"])
        found = model.embed("text", text_inputs(ids.tolist()))
    return [close("text tower", found, F.normalize(want, dim=-1), atol=EMBEDDING)]
