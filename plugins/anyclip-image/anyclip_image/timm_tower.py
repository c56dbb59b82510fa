"""`image/timm`: every model of timm without its classifier."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import timm
from timm.data import resolve_data_config
from timm.models import _hub
from torch import Tensor, nn

from anyclip.errors import UserError, did_you_mean
from anyclip_image.image_tower import Built, ImageTower, no_patch_dropout
from anyclip_image.options import TimmOptions
from anyclip_image.processor import Preprocess, size_of
from anyclip_image.timm_features import timm_features, timm_layout

_POOLS = {"cls": "token", "mean": "avg", "map": "map"}
_CROPS = {"center": "center", "squash": "squash", "border": "pad"}


class TimmTower(ImageTower):
    """A timm model with `num_classes=0`; `pooled` is bit for bit what `timm.create_model(..., num_classes=0)` gives."""

    library = "timm"

    @classmethod
    def build(cls, options: TimmOptions, saved: dict[str, Any] | None, load_weights: bool) -> Built:
        architecture = saved["architecture"] if saved else _describe(options)
        weights = _weights(options) if load_weights else {}
        model = _create(architecture, weights, None if saved else options.model)
        preprocess = saved["preprocess"] if saved else _preprocess(model, architecture, options)
        layout = timm_layout(model)
        return Built(
            model=model,
            architecture=architecture,
            preprocess=preprocess,
            width=layout.width,
            blocks=layout.blocks,
            prefix=layout.prefix,
            site=layout.site,
            site_input=True,
            channels_last=layout.channels_last,
        )

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        return timm_features(self.model, pixels)


def _describe(options: TimmOptions) -> dict[str, Any]:
    """{model, args} with which `timm.create_model` gives the same architecture without a hub."""
    name, args = options.model, {}
    if ":" in name:
        name, args = _hub_architecture(name)
    elif not timm.is_model(name):
        raise UserError(f"model: timm has no {name!r}.", hint=did_you_mean(name.split(".")[0], timm.list_models()))
    args |= options.args
    if options.patch_dropout:
        args["patch_drop_rate"] = options.patch_dropout
    if options.pool != "default":
        args["global_pool"] = _POOLS[options.pool]
    if options.image_size is not None and _fixed_size(name):
        size = size_of(options.image_size, (224, 224))
        args["img_size"] = list(size)
    return {"model": name, "args": args}


def _hub_architecture(name: str) -> tuple[str, dict[str, Any]]:
    """(registered name, arguments) of a `local-dir:` or `hf-hub:` model."""
    source, _, identifier = name.partition(":")
    readers = {"hf-hub": _hub.load_model_config_from_hf, "local-dir": _hub.load_model_config_from_path}
    if source not in readers:
        raise UserError(f"model: {name!r} is not known.", hint="Use a timm name, hf-hub:ID or local-dir:PATH.")
    try:
        _, architecture, args = readers[source](identifier)
    except Exception as error:  # the hub's client raises its own families of errors, offline most of all
        raise UserError(f"model: the config of {name} cannot be read: {error}") from error
    return architecture, dict(args or {})


def _fixed_size(name: str) -> bool:
    """Whether the architecture has a position table or windows made for one image size."""
    cfg = timm.get_pretrained_cfg(name.split(".")[0]) or timm.get_pretrained_cfg(name)
    if cfg is not None and getattr(cfg, "fixed_input_size", False):
        return True
    entry = timm.model_entrypoint(name.split(".")[0])
    return "vision_transformer" in inspect.getmodule(entry).__name__  # type: ignore[union-attr]


def _weights(options: TimmOptions) -> dict[str, Any]:
    """Arguments of `create_model` that load weights."""
    if not options.pretrained:
        return {}
    if isinstance(options.pretrained, str):
        if not Path(options.pretrained).is_file():
            raise UserError(f"pretrained: there is no file {options.pretrained}.", hint="Give a file, true or false.")
        return {"pretrained": True, "pretrained_cfg_overlay": {"file": options.pretrained}}
    return {"pretrained": True}


def _create(architecture: dict[str, Any], weights: dict[str, Any], source: str | None) -> nn.Module:
    """source: the name that brings weights and preprocessing; None: a saved architecture."""
    args = {k: tuple(v) if isinstance(v, list) else v for k, v in architecture["args"].items()}
    name = source or architecture["model"]
    try:
        return timm.create_model(name, num_classes=0, **args, **weights)
    except TypeError as error:
        if "patch_drop_rate" in str(error):
            raise no_patch_dropout("timm") from error
        raise UserError(f"args: timm's {name} refuses them: {error}.") from error
    except (AssertionError, ValueError) as error:
        raise UserError(f"args: timm's {name} cannot be built so: {error or type(error).__name__}.") from error
    except Exception as error:
        if not weights:
            raise
        raise UserError(f"pretrained: the weights of {name} cannot be loaded: {error}") from error


def _preprocess(model: nn.Module, architecture: dict[str, Any], options: TimmOptions) -> Preprocess:
    """What timm declares for the weights' validation pictures."""
    declared = resolve_data_config({}, model=model)
    size = size_of(options.image_size or architecture["args"].get("img_size"), declared["input_size"][1:])
    interpolation = declared["interpolation"]
    return Preprocess(
        size=size,
        mean=tuple(declared["mean"]),
        std=tuple(declared["std"]),
        interpolation=interpolation if interpolation in ("bicubic", "bilinear", "nearest", "lanczos") else "bicubic",
        eval_crop=_CROPS.get(declared.get("crop_mode", "center"), "center"),
        crop_pct=float(declared["crop_pct"]),
    )
