"""`image/transformers`: vision encoders of transformers, from a local folder, the hub, or an inline configuration."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.image_processing_utils import BaseImageProcessor

from anyclip.errors import CheckpointError, UserError, did_you_mean
from anyclip_image.image_tower import Built, ImageTower
from anyclip_image.options import TransformersOptions
from anyclip_image.processor import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD, Preprocess, size_of
from anyclip_image.weights import shorten

# embeddings of these return every token with its position, so tokens can be dropped behind them
_CUTTABLE = {"clip_vision_model", "siglip_vision_model", "vit", "deit", "dinov2", "dinov2_with_registers"}
_HALF = (0.5, 0.5, 0.5)
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}


class TransformersTower(ImageTower):
    """A vision model of transformers; `pooled` is bit for bit its `pooler_output` (`image_embeds` when projected)."""

    library = "transformers"

    def __init__(self, built: Built, options: TransformersOptions):
        super().__init__(built, options)
        config = self.model.config
        self.pool, self.projected = options.pool, options.output == "projected"
        self.post_norm = config.model_type == "clip_vision_model"  # its last hidden state is before the final norm
        size = size_of(getattr(config, "image_size", None), self.processor.preprocess.size)
        self.resized = bool(getattr(config, "image_size", None)) and size != self.processor.preprocess.size
        self.add_patch_dropout(options.patch_dropout)

    @classmethod
    def build(cls, options: TransformersOptions, saved: dict[str, Any] | None, load_weights: bool) -> Built:
        if saved is None:
            config, pooling = _config(options), options.pool == "default"
            preprocess = _preprocess(options, config)
        else:
            config, pooling = _for_model(saved["architecture"]["config"]), saved["architecture"]["pooling_layer"]
            preprocess = saved["preprocess"]
        if options.pool != "default" and config.model_type == "siglip_vision_model":
            config.vision_use_head = False  # its attention pooling would be left without use
        if load_weights and isinstance(options.model, str) and options.pretrained:
            model, pooling = _load(options, config)
        else:
            kind = _model_class(options, config)
            model = kind._from_config(config, **_arguments(kind, pooling))
        for name, parameter in model.named_parameters():
            if name.endswith("mask_token"):  # serves pretraining only; no image reaches it
                parameter.requires_grad_(False)
        return _built(model, {"config": _plain(config), "pooling_layer": pooling}, preprocess, options)

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        kwargs = {"interpolate_pos_encoding": True} if self.resized else {}
        out = self.model(pixel_values=pixels, **kwargs)
        hidden = out.last_hidden_state
        if self.post_norm:
            core = getattr(self.model, "vision_model", self.model)
            hidden = core.post_layernorm(hidden)
        tokens = self.as_tokens(hidden)
        if self.projected:
            return out.image_embeds, self.model.visual_projection(tokens)
        pooled = getattr(out, "pooler_output", None)
        if self.pool == "mean" or (pooled is None and not self.built["prefix"]):
            pooled = tokens.mean(dim=1)
        elif self.pool == "cls" or pooled is None:
            pooled = hidden[:, 0]
        return pooled.flatten(1), tokens


def _config(options: TransformersOptions) -> PretrainedConfig:
    """The vision model's configuration with the options' changes."""
    if isinstance(options.model, dict):
        config = _for_model(options.model)
    else:
        try:
            config = AutoConfig.from_pretrained(options.model)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"model: {options.model!r} cannot be read: {_first_line(error)}") from error
    config = getattr(config, "vision_config", config)
    changes = dict(options.config)
    if options.image_size is not None and not (isinstance(options.model, str) and options.pretrained):
        changes.setdefault("image_size", options.image_size)
    for name, value in changes.items():
        if not hasattr(config, name) and name in options.config:
            raise UserError(
                f"config: {config.model_type} has no setting {name!r}.", hint=did_you_mean(name, config.to_dict())
            )
        if hasattr(config, name):
            setattr(config, name, value)
    return config


def _for_model(values: dict[str, Any]) -> PretrainedConfig:
    values = dict(values)
    name = values.pop("model_type", None)
    if name is None:
        raise UserError("model: an inline config needs model_type.", hint="For example clip_vision_model or vit.")
    try:
        config = AutoConfig.for_model(name, **values)
    except ValueError as error:
        known = transformers.models.auto.configuration_auto.CONFIG_MAPPING.keys()
        raise UserError(f"model: transformers has no model_type {name!r}.", hint=did_you_mean(name, known)) from error
    known = {*type(config)().to_dict(), *PretrainedConfig().to_dict(), *config.attribute_map}
    for key in values:
        if key not in known:
            raise UserError(f"model: {name} has no setting {key!r}.", hint=did_you_mean(key, known))
    return config


def _model_class(options: TransformersOptions, config: PretrainedConfig) -> type[PreTrainedModel]:
    if options.output == "projected":
        if config.model_type != "clip_vision_model" or options.pool != "default":
            raise UserError(
                f"output: projected needs a CLIP vision model with its own pooling, this is {config.model_type}.",
                hint="Use output: pooled.",
            )
        return transformers.CLIPVisionModelWithProjection
    try:
        kind: Any = AutoModel._model_mapping[type(config)]
    except KeyError as error:
        raise UserError(f"model: transformers has no encoder for {config.model_type!r}.") from error
    asked = inspect.signature(kind.forward).parameters.values()
    needed = [p.name for p in asked if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    others = [name for name in needed if name not in ("self", "pixel_values")]
    if kind.main_input_name != "pixel_values" or others:
        reason = f" It also asks for {', '.join(others)}." if others else ""
        raise UserError(f"model: {config.model_type!r} is not an encoder of plain pixels.{reason}")
    return kind


def _takes_pooling_layer(cls: type[PreTrainedModel]) -> bool:
    return "add_pooling_layer" in inspect.signature(cls.__init__).parameters


def _arguments(cls: type[PreTrainedModel], pooling_layer: bool) -> dict[str, Any]:
    return {} if pooling_layer or not _takes_pooling_layer(cls) else {"add_pooling_layer": False}


def _load(options: TransformersOptions, config: PretrainedConfig) -> tuple[PreTrainedModel, bool]:
    """Weights from a folder or the hub, and whether the model has its pooling layer.

    Every tensor of the vision model must be there; a pooling layer that was never trained (ViT) is left out.
    """
    cls = _model_class(options, config)
    pooling = options.pool == "default"
    model, missing = _from_pretrained(cls, options, config, _arguments(cls, pooling))
    if missing and all(name.startswith("pooler.") for name in missing) and _takes_pooling_layer(cls):
        pooling = False
        model, missing = _from_pretrained(cls, options, config, _arguments(cls, pooling))
    if missing:
        raise CheckpointError(f"lacks tensors of the vision model: {shorten(missing)}.", where=str(options.model))
    return model, pooling


def _from_pretrained(
    cls: type[PreTrainedModel], options: TransformersOptions, config: PretrainedConfig, arguments: dict[str, Any]
) -> tuple[PreTrainedModel, list[str]]:
    try:
        loaded: Any = cls.from_pretrained(
            str(options.model), config=config, output_loading_info=True, dtype=torch.float32, **arguments
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"model: the weights of {options.model!r} cannot be loaded: {_first_line(error)}") from error
    model, info = loaded
    return model, sorted(info["missing_keys"]) + [str(m) for m in info["mismatched_keys"]]


def _preprocess(options: TransformersOptions, config: PretrainedConfig) -> Preprocess:
    """From `preprocessor_config.json` when the folder has one, else what the model family was trained with."""
    size = size_of(getattr(config, "image_size", None) or 224, (224, 224))
    if config.model_type.startswith("clip"):
        mean, std = CLIP_MEAN, CLIP_STD
    elif config.model_type.startswith(("siglip", "vit", "beit", "deit")):
        mean, std = _HALF, _HALF
    else:
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    declared: dict[str, Any] = {}
    if isinstance(options.model, str):
        try:
            declared, _ = BaseImageProcessor.get_image_processor_dict(options.model)
        except (OSError, ValueError):
            declared = {}  # a folder without one is usual for models saved after training
    outer = declared.get("size") or {}
    crop = declared.get("crop_size") or {}
    crop = {"height": crop, "width": crop} if isinstance(crop, int) else crop
    shortest = outer.get("shortest_edge") if isinstance(outer, dict) else outer
    if isinstance(outer, dict) and "height" in outer:
        size, mode, pct = (outer["height"], outer["width"]), "squash", 1.0
    elif shortest:
        size = (crop.get("height", shortest), crop.get("width", shortest))
        mode, pct = "center", min(1.0, size[0] / shortest)
    else:
        mode, pct = ("squash" if config.model_type.startswith("siglip") else "center"), 1.0
    return Preprocess(
        size=size_of(options.image_size, size),
        mean=tuple(declared.get("image_mean") or mean),
        std=tuple(declared.get("image_std") or std),
        interpolation=_RESAMPLE.get(declared.get("resample", 3), "bicubic"),
        eval_crop=mode,
        crop_pct=pct,
    )


def _built(
    model: PreTrainedModel, architecture: dict[str, Any], preprocess: Preprocess, options: TransformersOptions
) -> Built:
    config = model.config
    cuttable = config.model_type in _CUTTABLE
    core = "vision_model." if options.output == "projected" else ""
    widths = getattr(config, "hidden_sizes", None)
    width = widths[-1] if widths else config.hidden_size
    if options.output == "projected":
        width = config.projection_dim
    return Built(
        model=model,
        architecture=architecture,
        preprocess=preprocess,
        width=width,
        blocks=_blocks(model),
        prefix=_prefix(config),
        site=f"{core}embeddings" if cuttable else None,
    )


def _prefix(config: PretrainedConfig) -> int:
    """Class and register tokens before the patch tokens."""
    special = {"siglip_vision_model": 0, "deit": 2}
    if config.model_type in special:
        return special[config.model_type]
    if (
        getattr(config, "hidden_sizes", None)
        or not getattr(config, "patch_size", None)
        or hasattr(config, "window_size")
    ):
        return 0
    return 1 + int(getattr(config, "num_register_tokens", 0) or 0)


def _blocks(model: nn.Module) -> list[str]:
    """The longest ModuleList nearest to the root: `encoder.layers`, `layers`, `encoder.stages`."""
    found = [
        (name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList) and len(module)
    ]
    if not found:
        return []
    depth = min(name.count(".") for name, _ in found)
    name, module = max((f for f in found if f[0].count(".") == depth), key=lambda f: len(f[1]))
    return [f"{name}.{i}" for i in range(len(module))]


def _plain(config: PretrainedConfig) -> dict[str, Any]:
    """The configuration as JSON, without the place it came from."""
    values = config.to_diff_dict()
    values["model_type"] = config.model_type
    for name in ("_name_or_path", "transformers_version", "architectures"):
        values.pop(name, None)
    return values


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
