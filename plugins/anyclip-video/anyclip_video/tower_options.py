"""Options of single video towers and similarities (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from anyclip.specs import TowerPart
from anyclip_video.options import VideoOptions

Positive = Annotated[int, Gt(0)]
Rate = Annotated[float, Ge(0), Lt(1)]


@dataclass(kw_only=True)
class FramesOptions(VideoOptions):
    """video/frames."""

    frame: TowerPart = field(default_factory=lambda: TowerPart(name="image/open_clip"))
    """What encodes a frame: an image tower of its own, `{name: image/open_clip, options: {...}}`, or that of another
    stream, `{ref: image}`, whose weights are then shared, optimised and saved once."""
    head: Literal["meanP", "seqLSTM", "seqTransf"] = "meanP"
    """Time: none but the mean over frames; an LSTM; a transformer with frame positions (CLIP4Clip). The head's output
    is added to the frame vectors, then comes the mean."""
    head_layers: Positive = 4
    """Blocks of seqTransf (CLIP4Clip: 4)."""
    head_heads: Positive | None = None
    """Attention heads of seqTransf. Default: the width divided by 64, at least 1."""
    head_dropout: Rate = 0.0
    """Dropout of seqTransf after attention and feed-forward."""
    positions: Positive = 77
    """Rows of the table of frame positions of seqTransf (CLIP4Clip: 77, as CLIP's texts)."""
    normalize: bool = True
    """Bring frame vectors to length 1 before the mean (CLIP4Clip)."""
    tokens: Literal["temporal", "frames"] = "temporal"
    """What the tower gives as tokens, one per frame: the vectors after the head, or those before it (X-CLIP, and the
    tight similarity of CLIP4Clip)."""
    stem: Literal["2d", "3d"] = "2d"
    """`3d`: the frame tower's patches are cut by a convolution over three frames (CLIP4Clip, linear_patch 3d), which
    begins as the tower's own on the middle one; needs a vision transformer."""
    chunk: Positive | None = None
    """Frames that pass the frame tower at a time, to bound memory; in training each chunk is then computed again in
    the backward pass. Same numbers, but for batch statistics. Default: all at once."""
    encode_padding: bool = False
    """Let the frame tower encode padded frames too, as the origin does; only X-CLIP's unmasked similarity sees it."""


@dataclass(kw_only=True)
class TransformersVideoOptions(VideoOptions):
    """video/transformers."""

    model: str | dict[str, Any] = "MCG-NJU/videomae-base"
    """A local folder or hub id of VideoMAE, TimeSformer, ViViT or Microsoft's X-CLIP (its video half is taken), or a
    config: {model_type: videomae, hidden_size: 64, num_hidden_layers: 2, num_frames: 8, ...}."""
    pretrained: bool = True
    """false: only the configuration of the folder, with random weights. An inline config is always random."""
    config: dict[str, Any] = field(default_factory=dict)
    """Settings of the model's configuration to change: {num_frames: 8}."""
    pool: Literal["default", "cls", "mean"] = "default"
    """`default`: as the model was trained: its class token, the mean of its tokens (VideoMAE), its transformer over
    frames (X-CLIP)."""
    prompts: bool = False
    """X-CLIP only: tokens are what the similarity `xclip_prompts` reads, patch tokens averaged over frames, instead of
    frame vectors."""


@dataclass(kw_only=True)
class FeaturesOptions:
    """video/features."""

    dim: Positive = 512
    """Width of the features (S3D of HowTo100M: 512)."""
    length: Positive = 32
    """Most feature vectors of a clip (VideoCLIP: 32, one a second)."""
    long: Literal["window", "uniform", "head"] = "window"
    """Which of too many: neighbours (in training at random, in evaluation the middle ones), evenly spread, the
    first."""
    model: str | dict[str, Any] | None = field(default_factory=lambda: {"model_type": "bert", "num_hidden_layers": 6})
    """The encoder: a BERT config, a local folder or hub id of one (VideoCLIP: 6 layers of bert-base); null: the mean
    of the features, without an encoder."""
    pretrained: bool = True
    """false: only the configuration of the folder, with random weights. An inline config is always random."""
    config: dict[str, Any] = field(default_factory=dict)
    """Settings of the encoder's configuration to change: {num_hidden_layers: 6} takes the first six."""
    cls_id: Annotated[int, Ge(0)] = 101
    """Row of the encoder's vocabulary that begins a clip."""
    sep_id: Annotated[int, Ge(0)] = 102
    """Row of the encoder's vocabulary that ends a clip."""

    @property
    def deterministic(self) -> bool:
        """Whether training samples are those of evaluation."""
        return self.long != "window"


@dataclass(kw_only=True)
class TightOptions:
    """clip4clip_tight."""

    dim: Positive = 512
    """Joint width E: `model.dim`."""
    layers: Positive = 4
    """Blocks of the transformer (CLIP4Clip: 4)."""
    heads: Positive | None = None
    """Attention heads. Default: the width divided by 64, at least 1."""
    positions: Positive = 77
    """Rows of the table of positions: at least 1 + the tokens of the second stream."""
    dropout: Rate = 0.0
    """After the positions are added (CLIP4Clip: 0.1). Its draws depend on how a batch is cut."""
    chunk: Positive = 4096
    """Pairs scored at a time; in training each chunk is computed again in the backward pass."""


@dataclass(kw_only=True)
class PromptsOptions:
    """xclip_prompts."""

    dim: Positive = 512
    """Joint width E: `model.dim`."""
    layers: Positive = 2
    """Layers of cross-attention (X-CLIP: 2)."""
    heads: Positive = 8
    """Attention heads (X-CLIP: 8)."""
    alpha: float = 0.1
    """First value of the factor of the prompt, learned per column (X-CLIP: 0.1)."""
    dropout: Rate = 0.0
    """Of attention and projections of the prompt layers."""
    chunk: Positive = 4096
    """Pairs scored at a time; in training each chunk is computed again in the backward pass."""
