"""`video/transformers`: VideoMAE, TimeSformer, ViViT and Microsoft's X-CLIP of the transformers library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from anyclip_image.transform import Preprocess
from anyclip_image.weights import shorten
from torch import Tensor, nn
from transformers import AutoModel, PretrainedConfig

from anyclip.errors import CheckpointError, UserError
from anyclip.towers import Encoding, Tower
from anyclip.towers.wrapping import grouped_by_block, read_assets, recorded, write_assets
from anyclip_video.hugging import block_names, config_of, first_line, inline_config, plain, preprocess_of
from anyclip_video.processor import VideoProcessor
from anyclip_video.tower_options import TransformersVideoOptions
from anyclip_video.windows import flat_windows, mean_of_windows
from anyclip_video.xclip_video import XClipVideo

_ASSET = "video_tower.json"
_POOL = {"videomae": "mean", "timesformer": "cls", "vivit": "cls", "xclip": "frames"}
_CLASS_TOKENS = {"videomae": 0, "timesformer": 1, "vivit": 1}


class TransformersTower(Tower):
    """The library's model, whole, in `model`. Inputs as `VideoProcessor` collates them.

    The model sees its own number of frames: a clip's real frames are chosen or repeated evenly to give that many.
    `tokens` are its patch tokens without class token; of X-CLIP the frames' vectors (or with `prompts` what its
    similarity reads).
    """

    modality = "video"
    model: Any
    processor: VideoProcessor

    def __init__(self, model: nn.Module, config: PretrainedConfig, declared: Preprocess, options: Any):
        super().__init__()
        self.model, self.kind = model, config.model_type
        self.config, self._declared = config, declared
        self.pool = _POOL[self.kind] if options.pool == "default" else options.pool
        vision = getattr(config, "vision_config", config)
        self.frames: int = vision.num_frames
        self.width = model.width if isinstance(model, XClipVideo) else config.hidden_size
        self.blocks = block_names(model)
        self.processor = VideoProcessor(declared, options, frames=self.frames)
        if self.pool == "cls" and not _CLASS_TOKENS.get(self.kind):
            raise UserError(f"pool: {self.kind} has no class token for a whole clip.", hint="Leave pool out.")
        if isinstance(model, XClipVideo) and options.pool != "default":
            raise UserError("pool: xclip has its own transformer over frames.", hint="Leave pool out.")

    @classmethod
    def from_options(
        cls,
        options: TransformersVideoOptions,
        *,
        refs: Mapping[str, Tower] | None = None,
        assets: Path | None = None,
        load_weights: bool = True,
    ) -> TransformersTower:
        """Build from the options, or from the architecture that a run saved, without hub or weight files."""
        saved = read_assets(assets, _ASSET, "transformers", architecture=dict, preprocess=Preprocess.of)
        if saved is not None:
            config = inline_config(saved["architecture"])
            return cls(_build(config, options), config, saved["preprocess"], options)
        config = _config(options)
        weights = isinstance(options.model, str) and options.pretrained and load_weights
        model = _pretrained(config, options) if weights else _build(config, options)
        vision = getattr(config, "vision_config", config)
        declared = preprocess_of(SimpleNamespace(model=options.model, image_size=None), vision)  # type: ignore[arg-type]
        return cls(model, config, declared, options)

    def forward(self, inputs: Mapping[str, Tensor], *, layers: Sequence[int] = ()) -> Encoding:
        """layers: blocks (0 first), whose tokens [B, T, W] come without class token; of one window per row only."""
        frames, mask, windows = flat_windows(inputs)
        if layers and (windows is not None or isinstance(self.model, XClipVideo)):
            raise UserError("video/transformers gives layers of a single window, and none of xclip.")
        chosen = filled(frames, mask, self.frames)
        with recorded(self.model, self.blocks, layers, self.kind) as tapped:
            pooled, tokens = self._encode(chosen)
        found = {depth: self._without_class(_first(out)) for depth, out in tapped.items()}
        pooled = mean_of_windows(pooled, windows)
        if windows is not None:
            return Encoding(pooled=pooled)
        real = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Encoding(pooled=pooled, tokens=tokens, mask=real, layers=found)

    def _encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(self.model, XClipVideo):
            return self.model(frames)
        hidden = _first(self.model(pixel_values=frames, return_dict=True).to_tuple())
        tokens = self._without_class(hidden)
        return (hidden[:, 0] if self.pool == "cls" else tokens.mean(dim=1)), tokens

    def _without_class(self, tokens: Tensor) -> Tensor:
        return tokens[:, _CLASS_TOKENS.get(self.kind, 0) :]

    def layer_groups(self) -> list[list[str]]:
        """[everything before the first block], [block], ..., [what comes after the last]."""
        return grouped_by_block(self, [f"model.{name}" for name in self.blocks])

    def save_assets(self, folder: Path) -> None:
        """One JSON file: the architecture and the preprocessing that the model declares."""
        architecture = plain(self.config)
        saved = {"library": "transformers", "architecture": architecture, "preprocess": asdict(self._declared)}
        write_assets(folder, _ASSET, saved)


def filled(frames: Tensor, mask: Tensor, length: int) -> Tensor:
    """Frames [C, T, ...] with mask [C, T] -> [C, length, ...]: each clip's real frames, chosen or repeated evenly."""
    order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)  # real ones first
    count = mask.sum(dim=1, keepdim=True).clamp(min=1)
    index = torch.arange(length, device=frames.device)[None] * count // length
    rows = torch.arange(len(frames), device=frames.device)[:, None]
    return frames[rows, order.gather(1, index)]


def _config(options: TransformersVideoOptions) -> PretrainedConfig:
    config = config_of(options.model, options.config)
    if config.model_type not in _POOL:
        raise UserError(
            f"model: video/transformers does not know {config.model_type!r}.", hint=f"It has {', '.join(_POOL)}."
        )
    if options.prompts and config.model_type != "xclip":
        raise UserError(f"prompts: only xclip has them, this is {config.model_type}.")
    vision = getattr(config, "vision_config", config)
    random = not (isinstance(options.model, str) and options.pretrained)
    if options.image_size is not None and random:
        vision.image_size = options.image_size
    if options.frames is not None and random:
        vision.num_frames = options.frames
    return config


def _build(config: PretrainedConfig, options: TransformersVideoOptions) -> nn.Module:
    try:
        if config.model_type == "xclip":
            return XClipVideo.of(transformers.XCLIPModel(config), prompts=options.prompts)  # type: ignore[arg-type]
        extra = {"add_pooling_layer": False} if config.model_type == "vivit" else {}
        return AutoModel.from_config(config, **extra)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"model: transformers cannot build this {config.model_type}: {first_line(error)}") from error


def _pretrained(config: PretrainedConfig, options: TransformersVideoOptions) -> nn.Module:
    kind: Any = transformers.XCLIPModel if config.model_type == "xclip" else AutoModel
    extra = {"add_pooling_layer": False} if config.model_type == "vivit" else {}
    try:
        model, info = kind.from_pretrained(
            str(options.model), config=config, output_loading_info=True, dtype=torch.float32, **extra
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"model: the weights of {options.model!r} cannot be loaded: {first_line(error)}") from error
    missing = sorted(info["missing_keys"]) + [str(m) for m in info["mismatched_keys"]]
    if missing:
        raise CheckpointError(f"lacks tensors of the video model: {shorten(missing)}.", where=str(options.model))
    return XClipVideo.of(model, prompts=options.prompts) if config.model_type == "xclip" else model


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output
