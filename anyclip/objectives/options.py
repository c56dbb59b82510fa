"""Options of the objectives (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Len, Lt

from anyclip.config.schema import HeadConfig

Weight = Annotated[float, Ge(0)]
Positive = Annotated[int, Gt(0)]


@dataclass(kw_only=True)
class DistillationOptions:
    logits: Weight = 1.0
    """Weight of the teacher's similarities as targets for the student's (open_clip, TinyCLIP, CLIP-KD's CKD)."""
    divergence: Literal["cross_entropy", "kl", "sigmoid"] = "cross_entropy"
    """`kl` subtracts the teacher's entropy; `sigmoid`: the soft label times the logit (SigLIP of MobileCLIP2)."""
    teacher_scales: list[Annotated[float, Gt(0)]] = field(default_factory=lambda: [100.0])
    """Scale of each teacher's similarities; probabilities of several teachers are averaged."""
    teacher_bias: float = 0.0
    """Added to the teachers' scaled similarities, for `sigmoid`."""
    teacher_dims: list[Positive] = field(default_factory=list)
    """Widths of several teachers' vectors, which stand side by side. Default: equal shares."""
    features: Weight = 0.0
    """Weight of the squared difference of student and teacher embeddings (CLIP-KD's FD: 2000)."""
    interactive: Weight = 0.0
    """Weight of the contrast of student embeddings with the teacher's of the other stream (CLIP-KD's ICL: 1)."""
    cross_logits: Weight = 0.0
    """Weight of the teacher's similarities as targets for those of student and teacher (CLIP-KD's cross-KD)."""
    gradients: Weight = 0.0
    """Weight of the squared difference of the gradients that a contrastive loss would give (CLIP-KD's GD: 1e8)."""
    cross_scale: Annotated[float, Gt(0)] = 2.659260036932778
    """Scale of student-teacher similarities (CLIP-KD: ln(1/0.07), used as it is)."""
    gradient_temperature: Literal["scale", "inverse_scale"] = "inverse_scale"
    """Temperature of `gradients`: 1/scale, or the scale itself as CLIP-KD's code has it."""
    teacher_width: Positive | None = None
    """Width of the teacher's vectors, if not `model.dim`: a layer maps the student's to it (not for `logits`)."""
    teacher_streams: list[str] = field(default_factory=list)
    """Two streams with frozen towers that teach the pair's; default: vectors in the fields `teacher_a`, `teacher_b`."""
    normalize_inputs: bool = False
    """Normalise the student once more, as CLIP-KD does."""

    def __post_init__(self):
        if self.teacher_streams and len(self.teacher_streams) != 2:
            raise ValueError("teacher_streams takes two streams, one for each of the pair")
        if self.teacher_dims and len(self.teacher_dims) != len(self.teacher_scales):
            raise ValueError("teacher_dims and teacher_scales count the same teachers")
        if not self.teacher_scales:
            raise ValueError("teacher_scales names at least one teacher")
        others = self.features or self.interactive or self.cross_logits or self.gradients
        if others and len(self.teacher_scales) > 1:
            raise ValueError("features, interactive, cross_logits and gradients take one teacher")
        if not (self.logits or others):
            raise ValueError("every weight is 0")


@dataclass(kw_only=True)
class CyclicOptions:
    in_modal: Weight = 0.25
    """Weight of equal similarities within both streams."""
    cross_modal: Weight = 0.25
    """Weight of equal similarities across the streams, both ways."""

    def __post_init__(self):
        if not (self.in_modal or self.cross_modal):
            raise ValueError("in_modal and cross_modal are both 0")


@dataclass(kw_only=True)
class SeparationOptions:
    modalities: list[str] = field(default_factory=list)
    """Streams of the pair that are separated; default: both."""
    semantic: bool = True
    """Separate less what a sentence encoder finds alike; reads the field `sentence`, one vector per sample."""


@dataclass(kw_only=True)
class GeodesicMixupOptions:
    multimodal: Weight = 1.0
    """Weight of hard negatives mixed from both streams (m2-mix)."""
    unimodal: Weight = 0.0
    """Weight of mixing samples within one stream, within the other, and in both (v-, l- and vl-mix)."""
    beta: list[Annotated[float, Gt(0)]] = field(default_factory=lambda: [0.2, 1.0])
    """Beta(p, p) of the mixing share: for mixing within one stream, and for the others."""
    share: Annotated[float, Gt(0), Lt(1)] | None = None
    """A fixed mixing share instead of draws."""

    def __post_init__(self):
        if not (self.multimodal or self.unimodal):
            raise ValueError("multimodal and unimodal are both 0")
        if len(self.beta) != 2:
            raise ValueError("beta takes two values, within one stream and for the others")


@dataclass(kw_only=True)
class EntailmentOptions:
    min_radius: Annotated[float, Gt(0)] = 0.1
    """Radius below which a point's cone would be wider than a half space."""


@dataclass(kw_only=True)
class NTXentOptions:
    streams: list[str]
    """Two views of one stream, such as `[image#1, image#2]`."""
    temperature: Annotated[float, Gt(0)] = 0.1
    """Divides the similarities."""
    head: HeadConfig | None = field(default_factory=lambda: HeadConfig(dim=256, hidden=4096, layers=3, norm="layer"))
    """Layers on the tower's output; null: its output itself."""

    def __post_init__(self):
        _two(self.streams)


@dataclass(kw_only=True)
class ClassPromptsOptions:
    stream: str
    """The stream that is classified."""
    prompt_stream: str
    """The frozen stream that embeds the prompts."""
    classes: Annotated[list[str], Len(2)]
    """Names of the classes, as they stand in the field `label`."""
    templates: Annotated[list[str], Len(1)] = field(default_factory=lambda: ["{}"])
    """Sentences with `{}` for the class name; a class is the mean of its sentences."""
    scale: Annotated[float, Gt(0)] = 100.0
    """What the cosines are multiplied with."""
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of the target that is spread over all C classes (PointCLIP: e = 0.2 over the others, so e C / (C - 1))."""

    def __post_init__(self):
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: a name stands there twice")
        bad = [t for t in self.templates if "{}" not in t]
        if bad:
            raise ValueError(f"a template holds {{}} for the class name, this does not: {bad[0]!r}")


@dataclass(kw_only=True)
class PairedViewsOptions:
    streams: list[str]
    """Two views of one stream, such as `[depth, depth#1]`."""
    other_stream: str
    """The stream that their mean is compared with."""
    temperature: Annotated[float, Gt(0)] = 0.07
    """Divides the similarities."""
    balance: bool = True
    """Learn how much the views' own term counts; false: as much as the other."""

    def __post_init__(self):
        _two(self.streams)


@dataclass(kw_only=True)
class SimSiamOptions:
    streams: list[str]
    """Two views of one stream, such as `[image#1, image#2]`."""
    head: HeadConfig | None = field(default_factory=lambda: HeadConfig(dim=1024, hidden=1024, layers=3, norm="layer"))
    """Layers on the tower's output; null: its output itself."""
    predictor: HeadConfig = field(default_factory=lambda: HeadConfig(hidden=512, norm="layer"))
    """Layers on those; its result has their width."""

    def __post_init__(self):
        _two(self.streams)
        if self.predictor.dim is not None:
            raise ValueError("predictor.dim is the width of what it predicts; leave it out")


@dataclass(kw_only=True)
class NearestNeighbourOptions:
    size: Positive = 65536
    """Embeddings kept of earlier steps."""
    anchors: list[str] = field(default_factory=list)
    """Streams that are pulled to the neighbours, such as `[image#1, image#2]`. Default: the first of the pair."""
    keys: list[str] = field(default_factory=list)
    """Streams whose neighbours are looked up and which fill the queue. Default: the second of the pair."""


@dataclass(kw_only=True)
class CaptioningOptions:
    pad_id: int = 0
    """Label that does not count."""
    vocabulary: Positive
    """Number of token ids of the second stream's tower."""
    inputs: Literal["ids", "tokens"] = "ids"
    """What the decoder reads: the ids before each, or the tower's tokens (CoCa; only for a causal tower)."""
    width: Positive = 512
    """Width of the decoder."""
    depth: Positive = 6
    """Layers of the decoder."""
    heads: Positive = 8
    """Attention heads."""
    max_length: Positive = 256
    """Longest caption in tokens."""

    def __post_init__(self):
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")


@dataclass(kw_only=True)
class MaskedModellingOptions:
    stream: str
    """A stream of token ids: its tower has a `token_table` and takes embeddings."""
    ratio: Annotated[float, Gt(0), Lt(1)] = 0.15
    """Share of the tokens that are predicted."""
    keep: Annotated[float, Ge(0), Le(1)] = 0.1
    """Share of those that stay as they are."""
    random: Annotated[float, Ge(0), Le(1)] = 0.1
    """Share of those that become a random token."""
    head: HeadConfig = field(default_factory=lambda: HeadConfig(name="linear"))
    """Layers from a token to the vocabulary's logits."""

    def __post_init__(self):
        if self.keep + self.random > 1:
            raise ValueError("keep and random are shares of the same tokens: at most 1 together")
        if self.head.dim is not None:
            raise ValueError("head.dim is the size of the vocabulary; leave it out")


@dataclass(kw_only=True)
class SelfDistillationOptions:
    stream: str
    """The stream that learns, such as `image` or `image#1`."""
    teacher_stream: str | None = None
    """The view that the teacher sees, such as `image#2`. Default: the same values."""
    decay: Annotated[float, Ge(0), Lt(1)] = 0.996
    """Of the teacher, a moving average of the tower's weights."""
    mask_ratio: Annotated[float, Ge(0), Lt(1)] = 0.5
    """Share of the tokens that the student does not see; 0: it sees all of its view."""
    head: HeadConfig = field(default_factory=lambda: HeadConfig(hidden=4096, norm="layer"))
    """Layers on the student's output that predict the teacher's."""

    def __post_init__(self):
        if self.head.dim is not None:
            raise ValueError("head.dim is the width of the tower; leave it out")
        if not self.mask_ratio and self.teacher_stream in (None, self.stream):
            raise ValueError("without a mask the teacher needs a view of its own: teacher_stream")


@dataclass(kw_only=True)
class TowerTermOptions:
    stream: str
    """The stream whose tower gives the loss."""
    term: str
    """Its name in the tower's `Encoding.terms`, such as `fbsp` of `audio/esresnext`."""


def _two(streams: list[str]) -> None:
    if len(streams) != 2 or streams[0] == streams[1]:
        raise ValueError("streams takes two different views, such as [image#1, image#2]")
