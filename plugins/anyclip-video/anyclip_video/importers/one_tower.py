"""transformers-video: VideoMAE, TimeSformer and ViViT as the transformers library saves them: a video tower alone.

It has no joint space; name the folder in `init` of a stream with the tower `video/transformers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from anyclip_image.weights import shorten
from torch import Tensor
from transformers import AutoModel

from anyclip.checkpoint.importing import Imported
from anyclip.errors import CheckpointError
from anyclip_video.hugging import first_line, plain
from anyclip_video.importers.microsoft import read_config

KINDS = ("videomae", "timesformer", "vivit")
# what a checkpoint holds beside the encoder: classifiers, and the decoder of masked pre-training
_HEADS = ("classifier.", "fc_norm.", "decoder.", "encoder_to_decoder.", "mask_token", "position_embeddings", "pooler.")


def import_video(
    state: Mapping[str, Tensor],
    *,
    name: str | None = None,
    source: Path | None = None,
    config: dict[str, Any] | None = None,
) -> Imported:
    """One stream `video` with an identity projection; classifiers and decoders are left out."""
    where = str(source or "transformers-video")
    found = read_config(config, source, where, KINDS)
    extra = {"add_pooling_layer": False} if found.model_type == "vivit" else {}
    try:  # the library knows the names that its models had in older versions
        model, info = AutoModel._model_mapping[type(found)].from_pretrained(
            None, config=found, state_dict=dict(state), output_loading_info=True, dtype=torch.float32, **extra
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"cannot be loaded: {first_line(error)}", where=where) from error
    missing = sorted(info["missing_keys"]) + [str(m) for m in info["mismatched_keys"]]
    if missing:
        raise CheckpointError(f"lacks tensors of the video model: {shorten(missing)}.", where=where)
    kept = {f"towers.video.model.{key}": tensor for key, tensor in model.state_dict().items()}
    kept |= {key: state[key] for key in info["unexpected_keys"] if key in state and not key.startswith(_HEADS)}
    tower = {"name": "video/transformers", "options": {"model": plain(found)}, "projection": "identity"}
    return Imported(config={"model": {"dim": found.hidden_size, "towers": {"video": tower}}}, state=kept)
