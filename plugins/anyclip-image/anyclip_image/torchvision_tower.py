"""`image/torchvision`: classification models of torchvision without their classifier."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torchvision
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights, get_weight, list_models
from torchvision.models.vision_transformer import interpolate_embeddings

from anyclip.errors import UserError, did_you_mean
from anyclip_image.image_tower import Built, ImageTower
from anyclip_image.options import TorchvisionOptions
from anyclip_image.processor import IMAGENET_MEAN, IMAGENET_STD, Preprocess, size_of
from anyclip_image.timm_features import block_names
from anyclip_image.tokens import to_tokens
from anyclip_image.weights import load_strict

_HEADS = ("fc", "classifier", "heads", "head")
_DEFAULT = Preprocess(mean=IMAGENET_MEAN, std=IMAGENET_STD, interpolation="bilinear", crop_pct=0.875)


class TorchvisionTower(ImageTower):
    """A torchvision model whose last linear layer is left out; `pooled` is bit for bit that layer's input."""

    library = "torchvision"

    def __init__(self, built: Built, options: TorchvisionOptions):
        super().__init__(built, options)
        self.pool = options.pool
        source = _feature_source(self.model)
        self.seen = _Seen(source[1]) if source else None
        if source:
            self.model.get_submodule(source[0]).register_forward_hook(self.seen)
        self.add_patch_dropout(options.patch_dropout)

    @classmethod
    def build(cls, options: TorchvisionOptions, saved: dict[str, Any] | None, load_weights: bool) -> Built:
        architecture = saved["architecture"] if saved else _describe(options)
        model = _create(architecture)
        if load_weights and options.pretrained:
            _load_weights(model, options)
        preprocess = saved["preprocess"] if saved else _preprocess(options)
        width = _remove_classifier(model, options)
        transformer = isinstance(model, torchvision.models.VisionTransformer)
        return Built(
            model=model,
            architecture=architecture,
            preprocess=preprocess,
            width=width,
            blocks=_blocks(model),
            prefix=1 if transformer else 0,
            site="encoder.dropout" if transformer else None,
            channels_last=isinstance(model, torchvision.models.SwinTransformer),
        )

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        out = self.model(pixels)
        if self.seen is None:
            return out, None
        # where it is taken, the feature map is [B, C, H, W] for Swin too
        tokens = to_tokens(self.seen.take(), prefix=self.built["prefix"])
        return (tokens.mean(dim=1) if self.pool == "mean" else out), tokens


class _Seen:
    """Forward hook that keeps what passed until it is taken; there from the start, so that compiling sees it."""

    def __init__(self, which: str):
        self.which, self.value = which, None

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        self.value = args[0] if self.which == "input" else output

    def take(self) -> Any:
        value, self.value = self.value, None
        return value


def _describe(options: TorchvisionOptions) -> dict[str, Any]:
    names = list_models(module=torchvision.models)
    if options.model not in names:
        raise UserError(f"model: torchvision has no {options.model!r}.", hint=did_you_mean(options.model, names))
    args = dict(options.args)
    if options.image_size is not None and options.model.startswith("vit_"):
        height, width = size_of(options.image_size, (224, 224))
        if height != width:
            raise UserError("image_size: the vision transformers of torchvision take squares only.")
        args.setdefault("image_size", height)
    return {"model": options.model, "args": args}


def _create(architecture: dict[str, Any]) -> nn.Module:
    name, args = architecture["model"], dict(architecture["args"])
    if name in ("googlenet", "inception_v3"):  # their second classifiers serve training on ImageNet only
        args.setdefault("aux_logits", False)
        args.setdefault("init_weights", True)
    try:
        return get_model(name, weights=None, **args)
    except (TypeError, ValueError) as error:
        raise UserError(f"args: torchvision's {name} refuses them: {error}.") from error


def _load_weights(model: nn.Module, options: TorchvisionOptions) -> None:
    """The whole model's weights, before its classifier is left out."""
    if isinstance(options.pretrained, str) and Path(options.pretrained).is_file():
        from anyclip.checkpoint.reading import read_state

        state, where = dict(read_state(Path(options.pretrained))), options.pretrained
    else:
        weights, where = _weights(options), f"torchvision {options.model}"
        try:
            state = weights.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError) as error:
            raise UserError(f"pretrained: the weights of {options.model} cannot be fetched: {error}") from error
    if isinstance(model, torchvision.models.VisionTransformer):
        state = dict(interpolate_embeddings(model.image_size, model.patch_size, OrderedDict(state)))
    wanted = model.state_dict()
    aux = [name for name in state if name not in wanted and name.lower().startswith("aux")]
    state |= {n: t for n, t in wanted.items() if n.endswith("num_batches_tracked") and n not in state}
    load_strict(model, state, where=where, ignore=aux)


def _weights(options: TorchvisionOptions) -> Any:
    """The weight entry that the options name, or the default one."""
    known = get_model_weights(options.model)
    if options.pretrained is True:
        return known.DEFAULT  # type: ignore[attr-defined]
    names = [w.name for w in known]
    if options.pretrained not in names:
        hint = did_you_mean(str(options.pretrained), names, noun="Its weights")
        raise UserError(
            f"pretrained: {options.pretrained!r} is neither a file nor weights of {options.model}.", hint=hint
        )
    return get_weight(f"{known.__name__}.{options.pretrained}")


def _preprocess(options: TorchvisionOptions) -> Preprocess:
    preprocess = _DEFAULT
    if options.pretrained and not (isinstance(options.pretrained, str) and Path(options.pretrained).is_file()):
        declared = _weights(options).transforms()
        crop, outer = declared.crop_size[0], declared.resize_size[0]
        preprocess = Preprocess(
            size=(crop, crop),
            mean=tuple(declared.mean),
            std=tuple(declared.std),
            interpolation=declared.interpolation.value,
            crop_pct=min(1.0, crop / outer),
        )
    values = {
        **vars(preprocess),
        "size": size_of(options.image_size or options.args.get("image_size"), preprocess.size),
    }
    return Preprocess(**values)


def _remove_classifier(model: nn.Module, options: TorchvisionOptions) -> int:
    """Replace the last linear layer of the head by the identity; its input width. `pool: mean` drops the whole head."""
    for name in _HEADS:
        head = getattr(model, name, None)
        if head is None:
            continue
        linear = [(n, m) for n, m in head.named_modules() if isinstance(m, nn.Linear)]
        if not linear:
            break
        if options.pool == "mean":
            width = _map_width(model, linear[0][1])
            setattr(model, name, nn.Identity())
            return width
        path, last = linear[-1]
        if path:
            parent = head.get_submodule(path.rpartition(".")[0]) if "." in path else head
            setattr(parent, path.rpartition(".")[2], nn.Identity())
        else:
            setattr(model, name, nn.Identity())
        return last.in_features
    raise UserError(
        f"model: the classifier of torchvision's {options.model} has no linear layer to leave out.",
        hint="Use another model, for example resnet18, convnext_tiny or vit_b_16.",
    )


def _map_width(model: nn.Module, first: nn.Linear) -> int:
    """Channels of the feature map: what the head's first linear layer sees, but for heads that flatten positions."""
    pool = getattr(model, "avgpool", None)
    cells = 1
    size = getattr(pool, "output_size", 1)
    for side in size if isinstance(size, (tuple, list)) else (size, size):
        cells *= side or 1
    return first.in_features // cells


def _feature_source(model: nn.Module) -> tuple[str, str] | None:
    """(module, its input or output) that holds the last feature map or the tokens."""
    if isinstance(model, torchvision.models.VisionTransformer):
        return "encoder", "output"
    for name, which in (("avgpool", "input"), ("features", "output"), ("layers", "output"), ("conv5", "output")):
        if isinstance(getattr(model, name, None), nn.Module):
            return name, which
    return None


def _blocks(model: nn.Module) -> list[str]:
    if isinstance(model, torchvision.models.VisionTransformer):
        return [f"encoder.layers.{name}" for name, _ in model.encoder.layers.named_children()]
    return block_names(model, ("features", "layers", "blocks", "trunk_output"))
