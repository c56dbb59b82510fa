"""transformers-video: VideoMAE, TimeSformer and ViViT as the transformers library saves them: a video tower alone.

It has no joint space; name the folder in `init` of a stream with the tower `video/transformers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from anyclip.checkpoint.importing import Imported
from anyclip_video.hugging import plain
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
    found = read_config(config, source, str(source or "transformers-video"), KINDS)
    prefix = f"{found.model_type}."
    inner = any(key.startswith(prefix) for key in state)
    kept: dict[str, Tensor] = {}
    for key, tensor in state.items():
        own = key.removeprefix(prefix)
        if not (own.startswith(_HEADS) and (not inner or own == key or own.startswith("pooler."))):
            kept[f"towers.video.model.{own}"] = tensor
    tower = {"name": "video/transformers", "options": {"model": plain(found)}, "projection": "identity"}
    return Imported(config={"model": {"dim": found.hidden_size, "towers": {"video": tower}}}, state=kept)
