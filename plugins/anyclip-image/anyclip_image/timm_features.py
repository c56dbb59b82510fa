"""How timm models are laid out: their blocks, tokens and width. Used by `image/timm` and by open_clip's timm trunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from anyclip_image.tokens import to_tokens

_CONTAINERS = ("blocks", "stages", "layers", "features", "network")


@dataclass(frozen=True)
class Layout:
    """Names of blocks in order; prefix tokens; where tokens can be dropped; width of the pooled output."""

    blocks: list[str]
    prefix: int
    site: str | None
    channels_last: bool
    width: int


def timm_layout(model: Any) -> Layout:
    """Read a timm model's own description of itself."""
    # rotary models need the kept positions in every block; only a table that is added before the first is safe to cut
    plain = isinstance(model, VisionTransformer) and isinstance(getattr(model, "patch_drop", None), nn.Module)
    return Layout(
        blocks=block_names(model, _CONTAINERS),
        prefix=int(getattr(model, "num_prefix_tokens", 0)),
        site="patch_drop" if plain else None,
        channels_last=getattr(model, "output_fmt", "NCHW") == "NHWC",
        width=int(getattr(model, "head_hidden_size", None) or model.num_features),
    )


def block_names(model: Any, containers: tuple[str, ...]) -> list[str]:
    """Children of the first container that there is, or the numbered stages of ResNet and ShuffleNet."""
    for name in containers:
        container = getattr(model, name, None)
        found = _called(name, container) if isinstance(container, (nn.Sequential, nn.ModuleList)) else []
        if found:
            return found
    for stages in (("layer1", "layer2", "layer3", "layer4"), ("stage2", "stage3", "stage4"), ("s1", "s2", "s3", "s4")):
        if all(isinstance(getattr(model, name, None), nn.Module) for name in stages):
            return list(stages)
    return []


def _called(name: str, container: Any) -> list[str]:
    """Members of a container; a ModuleList inside is never called itself, its members are (Twins)."""
    found = []
    for child_name, child in container.named_children():
        path = f"{name}.{child_name}"
        found += _called(path, child) if isinstance(child, nn.ModuleList) else [path]
    return found


def timm_features(model: Any, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
    """(pooled [B, W], patch tokens [B, T, W'] or None); pooled is bit for bit `model(pixels)`."""
    features = model.forward_features(pixels)
    pooled = model.forward_head(features)
    if not isinstance(features, Tensor) or features.ndim not in (3, 4):
        return pooled, None
    channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
    return pooled, to_tokens(features, prefix=getattr(model, "num_prefix_tokens", 0), channels_last=channels_last)
