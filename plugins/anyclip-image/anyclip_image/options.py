"""Options of the image towers (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

Positive = Annotated[int, Gt(0)]
Share = Annotated[float, Ge(0), Le(1)]


@dataclass(kw_only=True)
class PixelOptions:
    """What is done to decoded pixels, of pictures and of frames: resizing, normalisation, augmentation."""

    image_size: Positive | list[Positive] | None = None
    """Pixels of the square that the model sees, or [height, width]. Default: the model's own."""
    mean: list[float] | None = None
    """Mean of each colour (0..1) taken off the pixels. Default: what the model declares."""
    std: list[float] | None = None
    """Standard deviation of each colour (0..1). Default: what the model declares."""
    interpolation: Literal["bicubic", "bilinear", "nearest", "lanczos"] | None = None
    """How images are resized. Default: what the model declares."""
    eval_crop: Literal["center", "squash", "pad"] | None = None
    """`center`: shorter side to size, middle cut out; `squash`: both sides to size; `pad`: longer side to size, rest
    filled with the mean colour. Default: what the model declares."""
    crop_pct: Annotated[float, Gt(0), Le(1)] | None = None
    """With `center`: the cut's share of the resized shorter side. Default: what the model declares."""
    augment: Literal["none", "clip", "strong"] = "clip"
    """Training augmentation. `clip`: random crop of 90-100 % of the area; `strong`: crop of 20-100 %, mirror image,
    colour jitter, grey. The fields below change single parts."""
    crop_scale: list[float] | None = None
    """Smallest and largest share of the area that a random crop keeps."""
    crop_ratio: list[float] | None = None
    """Smallest and largest width / height of a random crop."""
    flip: Share | None = None
    """Probability of the mirror image; 0 where captions say left and right."""
    jitter: list[float] | None = None
    """Strength of random brightness, contrast, saturation (0..1) and hue (0..0.5)."""
    jitter_prob: Share | None = None
    """Probability that colours are jittered."""
    grayscale: Share | None = None
    """Probability that colours are removed."""
    max_pixels: Annotated[int, Gt(0), Le(178_956_970)] = 2**26
    """Larger images are refused before any pixel is decoded."""

    def __post_init__(self):
        if isinstance(self.image_size, list) and len(self.image_size) != 2:
            raise ValueError("image_size is a number or [height, width]")
        for name, length in (("mean", 3), ("std", 3), ("crop_scale", 2), ("crop_ratio", 2), ("jitter", 4)):
            value = getattr(self, name)
            if value is not None and len(value) != length:
                raise ValueError(f"{name} takes {length} numbers, not {len(value)}")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError("std must be positive")
        for name, top in (("crop_scale", 1.0), ("crop_ratio", float("inf"))):
            value = getattr(self, name)
            if value is not None and not 0 < value[0] <= value[1] <= top:
                raise ValueError(f"{name} is [smallest, largest], above 0" + (" and at most 1" if top == 1 else ""))
        if self.jitter is not None and (min(self.jitter) < 0 or max(self.jitter) > 1 or self.jitter[3] > 0.5):
            raise ValueError("jitter is brightness, contrast, saturation in 0..1 and hue in 0..0.5")

    @property
    def deterministic(self) -> bool:
        """Whether training samples are those of evaluation."""
        return self.augment == "none" and not (self.crop_scale or self.flip or self.jitter or self.grayscale)


@dataclass(kw_only=True)
class ImageOptions(PixelOptions):
    """What every image tower understands: preprocessing and augmentation."""

    backend: Literal["auto", "pil", "torchvision"] = "auto"
    """`auto`, `torchvision`: plain RGB JPEGs by torchvision, everything resized by torch; within 1 of 255 of `pil`,
    which is bit-equal to torchvision's transforms on PIL images. `torchvision` fails where its decoder is missing."""
    draft: bool = False
    """Decode a JPEG of more than eight times the size at 1/2, 1/4 or 1/8 scale: faster, not quite the same pixels."""
    patch_dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of patch tokens dropped at random in training (FLIP); only for transformers."""


@dataclass(kw_only=True)
class OpenClipOptions(ImageOptions):
    model: str | dict[str, Any] = "ViT-B-32"
    """A model name of open_clip (`open_clip.list_models()`), `local-dir:PATH`, `hf-hub:ID`, or a config:
    {embed_dim: 64, vision_cfg: {image_size: 64, patch_size: 8, width: 64, layers: 2, head_width: 32}}."""
    pretrained: str | bool = False
    """A weight tag of open_clip (`laion2b_s34b_b79k`), a local file, or true for the weights of a `local-dir:` or
    `hf-hub:` model; false: random weights."""
    quick_gelu: bool | None = None
    """The activation of OpenAI's models. Default: what the model's config and its weight tag say."""
    output: Literal["pooled", "projected"] = "pooled"
    """`pooled`: before open_clip's own projection, which is left out; `projected`: after it, as `encode_image`."""
    pool: Literal["default", "cls", "mean"] = "default"
    """`cls`: the class token; `mean`: mean of the patch tokens or of the feature map."""


@dataclass(kw_only=True)
class TimmOptions(ImageOptions):
    model: str = "vit_small_patch16_224"
    """A model name of timm (`timm.list_models()`), `local-dir:PATH`, or `hf-hub:ID`."""
    pretrained: bool | str = False
    """true: timm's weights (downloaded once); a local file; false: random weights."""
    args: dict[str, Any] = field(default_factory=dict)
    """More arguments of `timm.create_model`: {embed_dim: 64, depth: 2, num_heads: 2, drop_path_rate: 0.1}."""
    pool: Literal["default", "cls", "mean", "map"] = "default"
    """`cls`: class token, `mean`: mean, `map`: attention pooling; where the model has it."""


@dataclass(kw_only=True)
class TransformersOptions(ImageOptions):
    model: str | dict[str, Any] = "openai/clip-vit-base-patch32"
    """A local folder or hub id (of a two-tower model the vision part is taken), or a config:
    {model_type: clip_vision_model, hidden_size: 64, num_hidden_layers: 2, ...}."""
    pretrained: bool = True
    """false: only the configuration of the folder, with random weights. An inline config is always random."""
    config: dict[str, Any] = field(default_factory=dict)
    """Settings of the model's configuration to change: {hidden_dropout_prob: 0.1}."""
    output: Literal["pooled", "projected"] = "pooled"
    """`projected`: after the model's own projection; only CLIP vision models have one."""
    pool: Literal["default", "cls", "mean"] = "default"
    """`default`: the model's pooled output, else its class token, else the mean of its tokens."""


@dataclass(kw_only=True)
class TorchvisionOptions(ImageOptions):
    model: str = "resnet18"
    """A classification model of torchvision (`torchvision.models.list_models(module=torchvision.models)`)."""
    pretrained: bool | str = False
    """true: the default weights (downloaded once); a weight name (`IMAGENET1K_V1`); a local file; false: random."""
    args: dict[str, Any] = field(default_factory=dict)
    """More arguments of the model's builder: {width_mult: 0.5}."""
    pool: Literal["default", "mean"] = "default"
    """`default`: everything before the last linear layer; `mean`: mean of the feature map, the rest left out."""
