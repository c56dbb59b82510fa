"""`image/open_clip`: the vision towers of open_clip (ViT, ModifiedResNet, any timm trunk), without their text side."""

from __future__ import annotations

import copy
import json
import logging
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_clip
from open_clip.convert import convert_state_dict
from open_clip.model import CLIPVisionCfg, _build_vision_tower, resize_pos_embed
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from anyclip.errors import UserError, did_you_mean
from anyclip_image.image_tower import Built, ImageTower, no_patch_dropout
from anyclip_image.options import OpenClipOptions
from anyclip_image.processor import Preprocess, size_of
from anyclip_image.timm_features import timm_features, timm_layout
from anyclip_image.weights import load_strict

_log = logging.getLogger(__name__)
_CROPS = {"shortest": "center", "squash": "squash", "longest": "pad"}


class OpenClipTower(ImageTower):
    """A vision tower of open_clip. With `output: projected`, `pooled` is bit for bit `CLIP.encode_image`."""

    library = "open_clip"

    @classmethod
    def build(cls, options: OpenClipOptions, saved: dict[str, Any] | None, load_weights: bool) -> Built:
        if saved is None:
            config, preprocess = _describe(options)
        else:
            config, preprocess = saved["architecture"], saved["preprocess"]
        model = _create(config)
        if load_weights and options.pretrained:
            _load_weights(model, options, config)
        if isinstance(model, TimmModel) and options.image_size is not None:
            model.set_input_size(size_of(options.image_size, (224, 224)))
        if options.output == "pooled":
            _remove_projection(model)
        return _built(model, config, preprocess)

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        model = self.model
        if isinstance(model, VisionTransformer):
            pooled, tokens = model(pixels)  # `output_tokens` is on
            if model.proj is not None and tokens.shape[-1] == model.proj.shape[0]:
                tokens = tokens @ model.proj
            return pooled, tokens
        if isinstance(model, TimmModel):
            pooled, tokens = timm_features(model.trunk, pixels)
            pooled = model.head(pooled)
            if tokens is not None and "pool" not in dict(model.head.named_children()):
                fits = tokens.shape[-1] == model.trunk.num_features
                tokens = model.head(tokens) if fits and len(model.head) else tokens
            return pooled, tokens
        x = model.layer4(model.layer3(model.layer2(model.layer1(model.stem(pixels)))))
        return model.attnpool(x), self.as_tokens(x)


def _create(config: dict[str, Any]) -> nn.Module:
    try:
        return _build_vision_tower(config["embed_dim"], copy.deepcopy(config["vision_cfg"]), config["quick_gelu"])
    except TypeError as error:
        if "patch_drop_rate" in str(error):  # a timm trunk that has no tokens
            raise no_patch_dropout("open_clip") from error
        raise UserError(f"model: open_clip refuses this vision_cfg: {error}.") from error
    except (AssertionError, ValueError, RuntimeError) as error:
        raise UserError(f"model: open_clip cannot build this vision_cfg: {error or type(error).__name__}.") from error


def _describe(options: OpenClipOptions) -> tuple[dict[str, Any], Preprocess]:
    """{embed_dim, vision_cfg, quick_gelu} and the preprocessing, from a name or an inline config."""
    config, declared = _config(options.model)
    tag = _tag(options)
    declared |= {k: tag[k] for k in ("mean", "std", "interpolation", "resize_mode") if k in tag}
    vision = dict(config.get("vision_cfg") or {})
    unknown = set(vision) - {f.name for f in fields(CLIPVisionCfg)}
    if unknown or "embed_dim" not in config:
        name = sorted(unknown)[0] if unknown else "embed_dim"
        hint = did_you_mean(name, [f.name for f in fields(CLIPVisionCfg)]) if unknown else "It is the output's width."
        raise UserError(f"model: {'unknown vision_cfg key' if unknown else 'missing'} {name!r}.", hint=hint)
    vision["timm_model_pretrained"] = False  # weights come through `pretrained`, from one place
    vision.pop("output_tokens", None)
    _apply(options, vision)
    quick = options.quick_gelu
    if quick is None:
        quick = bool(tag.get("quick_gelu", config.get("quick_gelu", False)))
    described = {"embed_dim": config["embed_dim"], "vision_cfg": vision, "quick_gelu": quick}
    size = size_of(options.image_size, size_of(vision.get("image_size", 224), (224, 224)))
    preprocess = Preprocess(
        size=size,
        mean=_three(declared.get("mean", Preprocess.mean)),
        std=_three(declared.get("std", Preprocess.std)),
        interpolation=declared.get("interpolation", "bicubic"),
        eval_crop=_CROPS.get(declared.get("resize_mode", "shortest"), "center"),
    )
    return described, preprocess


def _apply(options: OpenClipOptions, vision: dict[str, Any]) -> None:
    """Put options into a vision config."""
    timm_trunk, resnet = bool(vision.get("timm_model_name")), isinstance(vision.get("layers"), (list, tuple))
    if options.image_size is not None and not timm_trunk:
        vision["image_size"] = options.image_size
    size: Any = vision.get("image_size")
    if isinstance(size, (list, tuple)):  # a ModifiedResNet takes one number only
        height, width = size
        if resnet and height != width:
            raise UserError("image_size: the ModifiedResNets of open_clip take squares only.")
        vision["image_size"] = height if resnet else (height, width)
    if options.patch_dropout:
        if resnet:
            raise no_patch_dropout("open_clip")
        vision["patch_dropout"] = options.patch_dropout
    if options.pool != "default":
        if resnet:
            raise UserError("pool: a ModifiedResNet of open_clip only has its own attention pooling; leave pool out.")
        name, value = (
            ("timm_pool", {"cls": "token", "mean": "avg"})
            if timm_trunk
            else ("pool_type", {"cls": "tok", "mean": "avg"})
        )
        vision[name] = value[options.pool]


def _config(model: str | dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(model config, preprocessing config) of a name, `local-dir:`, `hf-hub:` or an inline dict."""
    if isinstance(model, dict):
        return model, dict(model.get("preprocess_cfg") or {})
    declared: dict[str, Any] = {}
    try:
        config = open_clip.get_model_config(model)
        if model.startswith("local-dir:"):
            path = Path(model.removeprefix("local-dir:")) / "open_clip_config.json"
            declared = json.loads(path.read_text(encoding="utf-8")).get("preprocess_cfg", {})
        elif model.startswith("hf-hub:"):
            declared = open_clip.factory._get_hf_config(model.removeprefix("hf-hub:")).get("preprocess_cfg", {})
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"model: the config of {model} cannot be read: {error}") from error
    if config is None:
        raise UserError(f"model: open_clip has no {model!r}.", hint=did_you_mean(model, open_clip.list_models()))
    return config, dict(declared)


def _tag(options: OpenClipOptions) -> dict[str, Any]:
    """What open_clip knows about a weight tag; {} for files."""
    if not isinstance(options.pretrained, str) or not isinstance(options.model, str):
        return {}
    return dict(open_clip.get_pretrained_cfg(options.model, options.pretrained))


def _load_weights(model: nn.Module, options: OpenClipOptions, config: dict[str, Any]) -> None:
    from anyclip.checkpoint.reading import read_state

    path = _weight_file(options)
    state = dict(read_state(path))
    holder: Any = SimpleNamespace(visual=model)  # open_clip's helpers look at `model.visual` only
    state = convert_state_dict(holder, state)
    prefix = "visual."
    if not any(name.startswith(prefix) for name in state):
        state = {prefix + name: tensor for name, tensor in state.items()}
    state = {name: tensor for name, tensor in state.items() if name.startswith(prefix)}
    resize_pos_embed(state, holder)
    load_strict(model, {name.removeprefix(prefix): tensor for name, tensor in state.items()}, where=str(path))


def _weight_file(options: OpenClipOptions) -> Path:
    """A local file, or the download of a tag. Raises UserError naming the tags."""
    wanted, model = options.pretrained, options.model
    if isinstance(wanted, str) and Path(wanted).is_file():
        return Path(wanted)
    try:
        if isinstance(wanted, str):
            if cfg := _tag(options):
                return Path(open_clip.download_pretrained(cfg))
        elif isinstance(model, str) and model.startswith("local-dir:"):
            if found := open_clip.factory._find_checkpoint_in_dir(Path(model.removeprefix("local-dir:"))):
                return Path(found)
        elif isinstance(model, str) and model.startswith("hf-hub:"):
            return Path(open_clip.pretrained.download_pretrained_from_hf(model.removeprefix("hf-hub:")))
    except Exception as error:  # the hub's client raises its own families of errors, offline most of all
        raise UserError(f"pretrained: the weights {wanted} of {model} cannot be fetched: {error}") from error
    tags = open_clip.list_pretrained_tags_by_model(model) if isinstance(model, str) else []
    hint = did_you_mean(str(wanted), tags, noun="Its tags") if tags else "Give a file that exists."
    raise UserError(f"pretrained: {wanted!r} is neither a file nor a weight tag of this model.", hint=hint)


def _remove_projection(model: Any) -> None:
    """Leave out open_clip's own projection, so that no parameter is without use."""
    if isinstance(model, VisionTransformer):
        model.proj = None  # type: ignore[assignment]
    elif isinstance(model, TimmModel):
        children, trunk = dict(model.head.named_children()), _plain(model.trunk)
        if not children and trunk.num_classes > 0:  # `timm_proj: ""`: the trunk's classifier is the projection
            trunk.reset_classifier(0)
        model.head = nn.Sequential()
        if "pool" in children:
            model.head.add_module("pool", children["pool"])
    # a ModifiedResNet's projection is inside its attention pooling: pooled and projected are the same


def _built(model: Any, config: dict[str, Any], preprocess: Preprocess) -> Built:
    built = Built(model=model, architecture=config, preprocess=preprocess, width=0)
    if isinstance(model, VisionTransformer):
        model.output_tokens = True
        built.width = model.output_dim if model.proj is not None else _plain(model.ln_post).normalized_shape[0]
        built.blocks = [f"transformer.resblocks.{i}" for i in range(len(model.transformer.resblocks))]
        built.tail = "proj$"
        built.prefix, built.site, built.site_input = 1, "patch_dropout", True
    elif isinstance(model, TimmModel):
        layout = timm_layout(model.trunk)
        built.blocks = [f"trunk.{name}" for name in layout.blocks]
        built.prefix, built.channels_last = layout.prefix, layout.channels_last
        built.site, built.site_input = (f"trunk.{layout.site}" if layout.site else None), True
        built.width = _timm_width(model, config["embed_dim"])
    else:
        assert isinstance(model, ModifiedResNet)
        built.width = model.output_dim
        built.blocks = ["layer1", "layer2", "layer3", "layer4"]
    return built


def _plain(module: Any) -> Any:
    """The module, for a type checker that takes a submodule's attributes for tensors."""
    return module


def _timm_width(model: Any, embed_dim: int) -> int:
    head = dict(model.head.named_children())
    if "mlp" in head or "proj" in head or "pool" in head:
        return embed_dim
    return model.trunk.num_classes or timm_layout(model.trunk).width


def _three(value: Any) -> tuple[float, ...]:
    return (float(value),) * 3 if isinstance(value, (int, float)) else tuple(map(float, value))
