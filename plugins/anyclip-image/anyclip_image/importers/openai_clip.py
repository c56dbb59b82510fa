"""openai-clip: the checkpoints of OpenAI CLIP, whose architecture is read off the tensors' shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from anyclip.checkpoint.importing import Imported
from anyclip.errors import CheckpointError
from anyclip_image.importers.open_clip import import_state

NO_WEIGHTS = ("input_resolution", "context_length", "vocab_size", "attn_mask")  # what the archives hold besides
HEAD_WIDTH = 64  # of every attention head in every published model


def import_openai_clip(
    state: Mapping[str, Tensor], *, name: str | None = None, source: Path | None = None, **options: Any
) -> Imported:
    """ViT and ModifiedResNet models, as TorchScript archives or state dicts; activation QuickGELU.

    The shapes tell the architecture as in the published loader (github.com/openai/CLIP, clip/model.py, build_model).
    """
    where = str(source or "openai-clip")
    kept = {key: tensor for key, tensor in state.items() if key.rsplit(".", 1)[-1] not in NO_WEIGHTS}
    try:
        config = architecture(kept)
    except (KeyError, IndexError) as error:
        raise CheckpointError(
            f"is not OpenAI's layout: it lacks {error}.",
            where=where,
            hint="open-clip reads checkpoints of open_clip.",
            next="anyclip plugins",
        ) from error
    return import_state(kept, config, where=where)


def architecture(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The open_clip config of an OpenAI state dict. Raises KeyError naming a tensor that is not there."""
    width = state["ln_final.weight"].shape[0]
    text = {
        "context_length": state["positional_embedding"].shape[0],
        "vocab_size": state["token_embedding.weight"].shape[0],
        "width": width,
        "heads": width // HEAD_WIDTH,
        "layers": _count(state, "transformer.resblocks.", 2),
    }
    return {**vision_architecture(state), "embed_dim": state["text_projection"].shape[1], "text_cfg": text}


def vision_architecture(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The config of the image tower alone, from the tensors under `visual.`; KeyError as in `architecture`."""
    if "visual.proj" in state:
        found, dim = _vit(state), state["visual.proj"].shape[1]
    else:
        found, dim = _resnet(state), state["visual.attnpool.c_proj.weight"].shape[0]
    return {"embed_dim": dim, "vision_cfg": found, "quick_gelu": True}


def _vit(state: Mapping[str, Tensor]) -> dict[str, Any]:
    width, _, patch, _ = state["visual.conv1.weight"].shape
    grid = round((state["visual.positional_embedding"].shape[0] - 1) ** 0.5)
    return {
        "layers": _count(state, "visual.transformer.resblocks.", 3),
        "width": width,
        "head_width": HEAD_WIDTH,
        "patch_size": patch,
        "image_size": patch * grid,
    }


def _resnet(state: Mapping[str, Tensor]) -> dict[str, Any]:
    grid = round((state["visual.attnpool.positional_embedding"].shape[0] - 1) ** 0.5)
    return {
        "layers": [_count(state, f"visual.layer{stage}.", 2) for stage in (1, 2, 3, 4)],
        "width": state["visual.layer1.0.conv1.weight"].shape[0],
        "head_width": HEAD_WIDTH,
        "image_size": 32 * grid,
    }


def _count(state: Mapping[str, Tensor], prefix: str, position: int) -> int:
    """Number of layers whose index stands at that position of the dotted name."""
    return len({key.split(".")[position] for key in state if key.startswith(prefix)})
