"""The dataclasses of a config file. One YAML file is one run; docs/config.md is generated from these docstrings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

Positive = Annotated[int, Gt(0)]
Fraction = Annotated[float, Ge(0), Le(1)]


@dataclass(kw_only=True)
class Named:
    """A registered part by name; a plain string means the name alone."""

    name: str
    """Registry name, such as `infonce`, or `DISTRIBUTION:NAME` when two plugins bring the name."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the part; `anyclip options NAME` lists them."""


@dataclass(kw_only=True)
class ProjectionConfig:
    """The layer from a tower's width to the joint width."""

    name: Literal["linear", "mlp", "residual", "identity"] = "linear"
    """`identity` needs a tower of the joint width. `residual`: a linear layer, a second one on its GELU added to it,
    LayerNorm (MS-CLAP)."""
    hidden: Positive | None = None
    """Hidden width of `mlp`; default: the joint width."""
    activation: Literal["gelu", "relu"] = "gelu"
    """Between the layers of `mlp`."""
    normalize_inputs: bool = False
    """Give the projection unit vectors."""
    bias: bool = False
    """Bias of the last layer; of both layers of `residual`."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Dropout before the last layer of `mlp`, after that of `residual`."""


@dataclass(kw_only=True)
class LoraConfig:
    """Low-rank adapters in a tower's linear layers (LoRA, arXiv:2106.09685); needs peft."""

    rank: Positive = 8
    """Inner width of an adapter."""
    alpha: Annotated[float, Gt(0)] | None = None
    """The adapter's output is multiplied by alpha / rank. Default: the rank."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Dropout before an adapter."""
    match: list[str] = field(default_factory=lambda: [".*"])
    """Regular expressions searched in the names of the linear layers."""


@dataclass(kw_only=True)
class TowerConfig:
    """One stream's tower."""

    name: str | None = None
    """Registry name, such as `<modality>/<tower>`."""
    ref: str | None = None
    """Another stream whose tower is shared; instead of `name`."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the tower; `anyclip options NAME` lists them."""
    projection: ProjectionConfig | Literal["linear", "mlp", "residual", "identity"] = "linear"
    """The layer to the joint width; a name alone, or its settings."""
    share_projection: bool = False
    """With `ref`: use the other stream's projection too."""
    freeze: bool | list[str] = False
    """true: the whole tower; a list: regular expressions searched in its parameter names."""
    freeze_projection: bool = False
    """The projection keeps its first weights."""
    init: str | None = None
    """A run, model folder or .safetensors file that gives this tower's first weights."""
    init_projection: bool = False
    """The projection's first weights come from `init` too, the stream of the same name."""
    lora: LoraConfig | None = None
    """Adapters learn, the tower's own weights stay: `lora: {rank: 8}`."""
    checkpointing: bool = False
    """Activation checkpointing: less memory, more time, same numbers."""
    cache: bool = False
    """Encode each value of the training data once, and keep the vectors on disk for all epochs and runs; needs
    `freeze: true` and a processor that augments nothing."""


@dataclass(kw_only=True)
class ModelConfig:
    """Towers and their joint space."""

    dim: Positive = 512
    """Width E of the joint space."""
    towers: dict[str, TowerConfig]
    """Stream name -> tower. Stream names are free; the modality comes from the tower."""


@dataclass(kw_only=True)
class ScaleConfig:
    """A scale or bias of an edge: a `[1]` parameter."""

    init: float | None = None
    """First value (the multiplied value: 1/temperature for a scale). Default: the loss's."""
    learn: bool = True
    """false: it keeps its first value."""
    max: float | None = None
    """Clamp after each step (scale only). Default: the loss's."""
    share: str | None = None
    """Edges with the same name here share one parameter."""


@dataclass(kw_only=True)
class HeadConfig:
    """Layers of one term between a stream's vectors and what it compares; trained, and not part of the embedding."""

    name: Literal["linear", "mlp"] = "mlp"
    """`mlp`: `layers` linear layers with an activation between them."""
    dim: Positive | None = None
    """Width of the result. Default: the width of the input."""
    hidden: Positive | None = None
    """Hidden width of `mlp`. Default: `dim`."""
    layers: Annotated[int, Ge(2)] = 2
    """Linear layers of `mlp`."""
    activation: Literal["relu", "gelu"] = "relu"
    """Between the layers of `mlp`."""
    norm: Literal["none", "layer"] = "none"
    """LayerNorm after each hidden layer; its statistics are a row's own, so that batches may be cut anywhere."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """After each hidden layer."""
    normalize_inputs: bool = False
    """Give the head unit vectors (LAION-CLAP)."""


@dataclass(kw_only=True)
class ObjectiveConfig:
    """A term of the training loss: a loss on a pair, or a named objective."""

    pair: list[str] | None = None
    """Two streams to compare; a stream may be compared with itself (`image`, `image#1`). With `name`: the pair that a
    term such as `distillation` belongs to."""
    loss: Named | str = "infonce"
    """A registered loss: its name, or `{name: ..., options: {...}}`."""
    similarity: Named | str = "cosine"
    """How the pair is scored: a name, or `{name: ..., options: {...}}`."""
    heads: dict[str, HeadConfig | Literal["linear", "mlp"]] = field(default_factory=dict)
    """Stream of the pair -> layers between its features and this edge's similarity (LAION-CLAP)."""
    fields: dict[str, str] = field(default_factory=dict)
    """Field that the loss or objective reads -> extra field of the data: `{labels: class_id}`. Default: same name."""
    name: str | None = None
    """A registered objective, instead of a loss. One that is a term of a pair, such as `distillation`, takes `pair`
    too, and has the scale, bias and similarity of the loss on that pair."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the named objective."""
    weight: Annotated[float, Ge(0)] = 1.0
    """Factor of this term in the training loss."""
    start: Annotated[int, Ge(0)] = 0
    """Steps of the run before this term takes part; until then it is not computed."""
    ramp: Annotated[int, Ge(0)] = 0
    """Steps from `start` in which the factor rises linearly to `weight`."""
    negatives: Literal["pair", "modality", "all"] = "pair"
    """Candidates of a row: `pair`: rows that have both streams; `modality`: all rows that have the other stream;
    `all`: every row of the batch, one that lacks the stream with a zero vector."""
    scale: ScaleConfig | None = None
    """What scores are multiplied with (1/temperature). Default: the loss's."""
    bias: ScaleConfig | None = None
    """What is added to scaled scores, for losses that have one. Default: the loss's."""


@dataclass(kw_only=True)
class SourceConfig:
    """One dataset."""

    name: str
    """Reader: `manifest`, `tar`, `folder`, `huggingface`, `synthetic`, or a plugin's."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the reader; a relative `path` is taken against `base`."""
    fields: dict[str, str] = field(default_factory=dict)
    """Stream or extra field -> column. Default: the column of the same name."""
    weight: Annotated[float, Gt(0)] = 1.0
    """Share of this dataset in the mixture."""
    length: str | None = None
    """Column with each row's length (seconds, tokens): batches of training then hold rows of similar length, which
    saves padding; their order is random, and a pass still holds every row once. Not with `mixing: sample`."""


@dataclass(kw_only=True)
class DataConfig:
    """Datasets and loading."""

    train: list[SourceConfig] = field(default_factory=list)
    """Datasets to train on, mixed by weight."""
    val: list[SourceConfig] = field(default_factory=list)
    """Datasets that evaluations read."""
    batch_size: Positive = 64
    """GLOBAL samples per optimizer step = candidate negatives, whatever the number of processes."""
    workers: Annotated[int, Ge(0)] = 2
    """Loader processes per training process; 0: load in the training process."""
    mixing: Literal["batch", "sample"] = "batch"
    """`batch`: each global batch comes from one dataset; `sample`: every batch holds all of them."""
    sampler: Named | None = None
    """Another order of the training samples, such as `clusters`. Default: shuffled passes, mixed by weight."""
    max_bad: Fraction = 0.1
    """A run stops with an error when more than this share of values is broken."""
    prefetch: Positive = 2
    """Batches that each worker prepares ahead."""


@dataclass(kw_only=True)
class GroupConfig:
    """Settings for parameters whose name matches; the first match wins."""

    match: str
    """Regular expression searched in names such as `towers.NAME.blocks.0.weight` or `objectives.0.log_scale`."""
    lr_scale: Annotated[float, Ge(0)] = 1.0
    """Factor of the learning rate."""
    weight_decay: Annotated[float, Ge(0)] | None = None
    """Instead of the optimizer's."""
    freeze: bool = False
    """true: these parameters keep their first values."""


@dataclass(kw_only=True)
class OptimizerConfig:
    """The optimizer. Weight decay is not applied to biases, norms, scales and other parameters of one axis."""

    name: Literal["adamw", "adam", "sgd", "lion", "lamb"] = "adamw"
    """`lion` and `lamb` come from timm."""
    lr: Annotated[float, Gt(0)] = 1e-3
    """Highest learning rate; the schedule says how it gets there and falls."""
    weight_decay: Annotated[float, Ge(0)] = 0.1
    """Weight decay; decoupled from the gradient for adamw and lion."""
    betas: list[Annotated[float, Ge(0), Lt(1)]] = field(default_factory=lambda: [0.9, 0.98])
    """Two decay rates of running averages; not for sgd."""
    eps: Annotated[float, Gt(0)] = 1e-6
    """Added to denominators; adamw, adam and lamb only."""
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    """sgd only."""
    groups: list[GroupConfig] = field(default_factory=list)
    """Other settings for parameters whose name matches."""
    layer_decay: Annotated[float, Gt(0), Le(1)] | None = None
    """Each layer of a tower learns at this factor of the rate of the layer after it."""


@dataclass(kw_only=True)
class ScheduleConfig:
    """Learning rate over the steps."""

    name: Literal["cosine", "linear", "constant"] = "cosine"
    """Shape of the fall after the warm-up."""
    warmup_steps: Annotated[int, Ge(0)] = 0
    """Steps of linear rise to the highest rate."""
    final: Fraction = 0.0
    """Last rate as a share of the first."""


@dataclass(kw_only=True)
class TrainConfig:
    """The loop."""

    steps: Positive | None = None
    """Optimizer steps; or give `epochs`."""
    epochs: Annotated[float, Gt(0)] | None = None
    """Passes over the (weighted) training data."""
    seed: Annotated[int, Ge(0)] = 0
    """Seed of first weights, sample order, augmentation and dropout."""
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """What to compute on; `auto`: the best that is there."""
    devices: Literal["auto"] | Positive | list[int] = "auto"
    """Processes per node."""
    num_nodes: Positive = 1
    """Machines of the run."""
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """`ddp`: whole weights on every process; `fsdp`: weights, gradients and optimizer state shared out."""
    precision: Literal["32-true", "64-true", "16-mixed", "bf16-mixed", "bf16-true"] = "32-true"
    """Number format; losses are computed in at least 32 bits."""
    micro_batch: Positive | None = None
    """Rows per process at a time: memory only, never the result."""
    compile: bool = False
    """Compile the towers with torch.compile."""
    clip_grad_norm: Annotated[float, Gt(0)] | None = None
    """Scale the gradient down to this norm when it is larger."""
    ema: Annotated[float, Gt(0), Lt(1)] | None = None
    """Decay of an exponential moving average of the weights, evaluated and saved beside them; `anyclip eval` and
    `anyclip.load` take it. Early steps average over less: the decay is at most (1 + step) / (10 + step)."""
    threads: Positive | None = None
    """Compute threads per process on the CPU; part of what makes a run repeat bit for bit."""
    log_every: Positive = 10
    """Steps between records in metrics.jsonl."""
    validate_every: Positive | None = None
    """Steps between evaluations; always at the end."""
    checkpoint_every: Positive | None = None
    """Steps between checkpoints; always at the end and when a run is stopped."""
    checkpoint_minutes: Annotated[float, Gt(0)] | None = None
    """Minutes between checkpoints. Default: 10 when `checkpoint_every` is not given either."""
    keep: Positive = 2
    """Checkpoints kept."""
    max_nonfinite: Positive = 10
    """Steps in a row with a loss or gradient that is not finite before the run stops; each is skipped and counted."""
    loggers: list[str] = field(default_factory=list)
    """Beside metrics.jsonl: `tensorboard`, `wandb`, `trackio`, or a plugin's."""
    out: str | None = None
    """Run folder. Default: `runs/<config name>`."""


@dataclass(kw_only=True)
class EvalConfig:
    """One evaluation."""

    name: str = "retrieval"
    """A registered evaluation."""
    pair: list[str] | None = None
    """For retrieval: two streams; default: every pair of streams that the validation data holds."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the evaluation; `anyclip options NAME` lists them."""


@dataclass(kw_only=True)
class Config:
    """A run."""

    model: ModelConfig
    """Towers and their joint space."""
    objectives: list[ObjectiveConfig] = field(default_factory=list)
    """Terms of the training loss."""
    pair_reduction: Literal["sum", "mean", "factorial"] = "sum"
    """How the terms of the edges add up; `mean` divides by K, `factorial` by K!, K = edges with enough rows."""
    data: DataConfig = field(default_factory=DataConfig)
    """Datasets and loading."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """The optimizer; its name alone, or its settings."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """Learning rate over the steps; its name alone, or its settings."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The loop."""
    eval: list[EvalConfig] = field(default_factory=list)
    """Evaluations on the validation data, during training and by `anyclip eval`."""
    base: str | None = None
    """Folder against which relative paths are taken. Default: the config file's folder."""
