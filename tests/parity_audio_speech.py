"""SpeechCLIP's heads and open_clip's Whisper tower against their reference files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anyclip_audio.quantize import cosines, perplexities
from anyclip_audio.speech_names import speechclip, whisper_encoder
from parity_audio_golden import EMBEDDING, Watch, checkpoint, close, line, statistics, vectors, waves
from parity_report import Line
from torch import Tensor
from torch.nn import functional as F

from anyclip.losses import create_loss
from anyclip.projections import MLP
from anyclip.testing.reference import Difference
from anyclip.towers import Tower, create_tower

State = dict[str, Tensor]


def run(path: Path, data: dict[str, Any]) -> Iterator[Line]:
    """The lines of `speechclip.json` or `open_clip_whisper_tiny.json`."""
    yield from (_speechclip if path.stem == "speechclip" else _whisper)(path.stem, data)


def sinusoids(length: int, width: int) -> Tensor:
    """Whisper's positions, by the formula of the file."""
    scale = np.exp(-np.log(10_000) / (width // 2 - 1) * np.arange(width // 2))
    angles = np.arange(length)[:, None] * scale
    return torch.from_numpy(np.concatenate([np.sin(angles), np.cos(angles)], axis=1)).float()


def below(state: Mapping[str, Tensor], prefix: str) -> State:
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def inputs_of(tower: Tower, data: Mapping[str, Any]) -> Any:
    return tower.processor.collate([tower.processor.load(value) for value in waves(data).values()])


def _whisper(case: str, data: dict[str, Any]) -> Iterator[Line]:
    state = checkpoint(data, lambda name, shape: sinusoids(*shape) if name.endswith("positional_embedding") else None)
    model = {
        "model_type": "qwen2_audio_encoder",  # Whisper's encoder that pools two positions before its last norm
        "d_model": 384,
        "encoder_layers": 4,
        "encoder_attention_heads": 6,
        "encoder_ffn_dim": 1536,
        "num_mel_bins": 80,
        "max_source_positions": 1500,
    }
    options = {"model": model, "output": "projected", "dim": 512, "mel_scale": "htk"}
    projection = MLP(512, 512, 512, bias=True, dropout=0.0)
    mlp = below(state, "proj.")
    projection.load_state_dict({k.replace("0.", "hidden.").replace("2.", "out."): v for k, v in mlp.items()})
    for published in (True, False):
        tower: Any = create_tower("audio/transformers", **options, published_batch=published).eval()
        tower.load_state_dict(whisper_encoder(below(state, "encoder.")))
        names = {"encoder.conv1": "conv1", "encoder.blocks.0": "layers.0", "encoder.ln_post": "layer_norm"}
        inputs = inputs_of(tower, data)
        with torch.no_grad(), Watch(tower.model, names) as seen:
            pooled = tower(inputs).pooled
            seen["proj.0"] = projection.hidden(pooled)
            projected = projection(pooled)
        unit = F.normalize(projected, dim=-1)
        if not published:  # each clip by its own maximum: what the file says that this moves
            embeddings = vectors("normalised", unit, data["outputs"]["normalised"], atol=1e-5)
            yield line(f"{case} clamped per clip", embeddings)
            continue
        found = [d for name in data["checkpoints"] for d in statistics(name, seen[name], data["checkpoints"][name])]
        found += vectors("encoder_features", pooled, data["outputs"]["encoder_features"])
        found += vectors("projected", projected, data["outputs"]["projected"])
        found += vectors("normalised", unit, data["outputs"]["normalised"], atol=EMBEDDING)
        yield line(case, found)


class _Tokenizer:
    """The special tokens of the reduced vocabulary, as the file has them."""

    prefix, suffix, pad_id, eos_id, bos_id, vocab_size = (2,), (3,), 0, 3, 2, 300

    def plain_id(self) -> int:
        return 4


def _text(state: State) -> Tower:
    """The real text tower with the file's CLIP."""
    cfg = {"context_length": 77, "width": 128, "heads": 2, "layers": 2, "vocab_size": 300}
    model = {"embed_dim": 128, "quick_gelu": True, "text_cfg": cfg}
    text: Any = create_tower("text/open_clip", model=model, tokenizer="bytes", output="projected").eval()
    theirs = {
        k: v for k, v in below(state, "clip.model.").items() if not k.startswith("visual.") and k != "logit_scale"
    }
    text.model.load_state_dict(theirs)
    text.model.pool_type, text.model.eos_id = "eos", 3
    text.processor.tokenizer = _Tokenizer()
    return text


def _encoder(data: Mapping[str, Any]) -> dict[str, Any]:
    model = {"model_type": "hubert", **data["config"]["hubert"]}
    return {"model": model, "layer_sum": "plain", "normalize": False, "published_batch": True}


def _speechclip(case: str, data: dict[str, Any]) -> Iterator[Line]:
    state = checkpoint(data, lambda name, shape: None)
    text = _text(state)
    keywords = data["config"]["keywords"]
    encoder = {"name": "audio/transformers", "options": _encoder(data)}
    own = {
        "parallel": {"heads": data["config"]["parallel_heads"], "output": "projected", "dim": 128},
        "cascaded": {"heads": data["config"]["cascaded_heads"], "keywords": keywords, "text": {"ref": "text"}},
    }
    for head, more in own.items():
        tower = create_tower("audio/speechclip", refs={"text": text}, encoder=encoder, head=head, **more).eval()
        left = tower.load_state_dict(speechclip(state, head), strict=False)
        lacking = [n for n in left.missing_keys if not n.startswith("text.") and n != "allowed"]
        if lacking or left.unexpected_keys:
            raise ValueError(f"names differ: {[*lacking, *left.unexpected_keys][:4]}")
        yield line(f"{case} {head}", _compare(head, tower, data))


def _compare(head: str, tower: Any, data: Mapping[str, Any]) -> list[Difference]:
    inputs, recorded, outputs = inputs_of(tower, data), data["checkpoints"], data["outputs"]
    with torch.no_grad(), Watch(tower, {"hubert_last": "encoder.model", "head": "head"}) as seen:
        heard = tower.encoder(inputs)
        out = tower(inputs)
    found = statistics("hubert_last", seen["hubert_last"], recorded["hubert_last"])
    found += statistics("weighted_sum", heard.tokens, recorded["weighted_sum"])
    found.append(close("frame_lengths", heard.mask.sum(dim=1), data["frame_lengths"], atol=1e-9))
    unit = F.normalize(out.pooled, dim=-1)
    found += vectors(f"{head}_normalised", unit, outputs[f"{head}_normalised"], atol=EMBEDDING)
    if head == "parallel":
        found += vectors("parallel_raw", out.pooled, outputs["parallel_raw"])
    else:
        entries = tower.text.token_table()[out.extra["keywords"]]
        found += statistics("keywords_embeddings", entries, recorded["keywords_embeddings"])
        found.append(close("keyword_ids", out.extra["keywords"], outputs["keyword_ids"], atol=1e-9))
        used, spread = perplexities(cosines(seen["head"], tower.text.token_table(), tower.allowed))
        found.append(close("code_perplexity", used[None], outputs["vq"]["code_perplexity"], atol=1e-5))
        found.append(close("prob_perplexity", spread[None], outputs["vq"]["prob_perplexity"], atol=1e-5))
    images = np.random.RandomState(41).standard_normal((2, 128)).astype(np.float32)
    scores = unit.double() @ F.normalize(torch.from_numpy(images), dim=-1).double().T
    loss = create_loss("infonce").from_scores(scores, scores.T, scale=torch.tensor([1 / 0.07]))
    found.append(close("loss", loss, outputs["losses"][head], atol=1e-5))
    return found
