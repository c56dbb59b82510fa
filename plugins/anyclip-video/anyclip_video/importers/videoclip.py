"""videoclip: VideoCLIP as fairseq's MMPT saves it (MMFusionSeparate): two BERT encoders, one on S3D features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anyclip_text.importing import tokenizer_asset, tokenizer_beside
from torch import Tensor

from anyclip.checkpoint.importing import Imported, prefixed
from anyclip.errors import CheckpointError

_NO_WEIGHTS = ("position_ids", "pooler.dense.weight", "pooler.dense.bias")  # the poolers are not used
_EMBED = "embeddings.word_embeddings.weight"


def import_videoclip(
    state: Mapping[str, Tensor],
    *,
    name: str | None = None,
    source: Path | None = None,
    length: int = 32,
    heads: int | None = None,
    cls_id: int = 101,
    sep_id: int = 102,
    tokenizer: str | None = None,
) -> Imported:
    """Towers `video/features` and `text/transformers`; scores are plain dot products, the loss a sum of both ways."""
    where = str(source or "videoclip")
    state = {key.removeprefix("mmmodel."): tensor for key, tensor in state.items()}
    video = prefixed(state, "video_encoder.", "", drop=_NO_WEIGHTS)
    text = prefixed(state, "text_encoder.", "", drop=_NO_WEIGHTS)
    try:
        video_bert = _bert(prefixed(video, "bert.", ""), heads)
        text_bert = _bert(text, heads)
        features = video["videomlp.linear1.weight"].shape[1]
    except KeyError as error:
        raise CheckpointError(f"is not VideoCLIP's layout: it lacks {error}.", where=where) from error
    place = tokenizer or tokenizer_beside(source)
    options: dict[str, Any] = {"model": text_bert, "pool": "words"}
    if place is None:
        raise CheckpointError(
            "no tokenizer lies beside it.", where=where, hint="Give the option tokenizer, that of bert-base-uncased."
        )
    ends = {"cls_id": cls_id, "sep_id": sep_id}
    towers = {
        "video": {
            "name": "video/features",
            "options": {"dim": features, "length": length, "model": video_bert, **ends},
            "projection": "identity",
        },
        "text": {"name": "text/transformers", "options": options, "projection": "identity"},
    }
    edge = {
        "pair": ["text", "video"],
        "loss": {"name": "infonce", "options": {"direction_reduction": "sum"}},
        "similarity": "dot",
        "scale": {"init": 1.0, "learn": False},
    }
    renamed = prefixed(video, "", "towers.video.") | prefixed(text, "", "towers.text.model.")
    renamed |= {key: x for key, x in state.items() if not key.startswith(("video_encoder.", "text_encoder."))}
    model = {"dim": text_bert["hidden_size"], "towers": towers}
    return Imported(
        config={"model": model, "objectives": [edge]}, state=renamed, assets={"text": tokenizer_asset(place)}
    )


def _bert(state: Mapping[str, Tensor], heads: int | None) -> dict[str, Any]:
    """The configuration of a BERT from its tensors."""
    vocabulary, width = state[_EMBED].shape
    layers = {key.split(".")[2] for key in state if key.startswith("encoder.layer.")}
    return {
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": len(layers),
        "num_attention_heads": heads or width // 64,
        "intermediate_size": state["encoder.layer.0.intermediate.dense.weight"].shape[0],
        "max_position_embeddings": state["embeddings.position_embeddings.weight"].shape[0],
    }
