"""What plugins register: lazy, frozen descriptions that need no torch to read.

A spec names a part; its `target` ("module:Class") is imported when a run asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One registered part.

    name: registry name; towers are `<modality>/<name>`.
    target: `module:Attribute`, imported lazily.
    options: `module:Class` of a torch-free keyword-only dataclass, or None.
    summary: one line for `anyclip plugins`.
    requires: importable modules that this part needs beyond its plugin's own requirements.
    """

    kind: ClassVar[str] = ""
    name: str
    target: str
    summary: str
    options: str | None = None
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TestedSpec(Spec):
    """A part that `anyclip conformance` can try.

    tiny: options of a small instance (random weights, nothing fetched), with which it is tried.
    exempt: check -> reason; checks of the kit that do not apply to this part.
    """

    tiny: Mapping[str, Any] = field(default_factory=dict, hash=False)
    exempt: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True)
class TowerSpec(TestedSpec):
    """An encoder of one modality: target is a `Tower` subclass.

    promises: optional checks of the kit that must hold too: `compiles`, `exports`.
    values: `module:function(n) -> list`; n values to try it with, where those that its modality renders do not fit.
    """

    kind: ClassVar[str] = "tower"
    promises: tuple[str, ...] = ()
    values: str | None = None

    @property
    def modality(self) -> str:
        return self.name.split("/", 1)[0]


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """Default of an edge's scale or bias: a `[1]` parameter, clamped above at `max` (None: no clamp)."""

    init: float
    learn: bool = True
    max: float | None = None


@dataclass(frozen=True, kw_only=True)
class LossSpec(TestedSpec):
    """A function of one pair's scores.

    scale: default of the edge's scale.
    bias: default of the edge's bias; None: the loss has none.
    fields: extra fields of the data that it can read.
    wide: options that may be set together with `negatives: modality | all`; None: it compares complete rows only.
    """

    kind: ClassVar[str] = "loss"
    scale: Scalar = Scalar(init=14.285714285714286, max=100.0)
    bias: Scalar | None = None
    fields: tuple[str, ...] = ()
    wide: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class SimilaritySpec(TestedSpec):
    """How a pair is scored: target is a `Similarity` subclass.

    tiny: options for vectors of width 5 and up to 5 tokens per row, with which its exactness on several processes is
    tried.
    tokens: whether it reads tokens or layers, which a tower with `cache: true` does not bring.
    """

    kind: ClassVar[str] = "similarity"
    tokens: bool = False


@dataclass(frozen=True, kw_only=True)
class ObjectiveSpec(Spec):
    """A term of the training loss that is not a loss on a pair: target is an `Objective` subclass.

    cacheable: False for objectives that run a tower again; `check` refuses those together with `micro_batch`.
    pair: a term of a pair (an `EdgeTerm`): the config names the pair, as for a loss.
    scale, bias: their defaults where no loss is on that pair; None: it has none.
    fields: extra fields of the data that it can read.
    tokens: whether it reads tokens or layers, which a tower with `cache: true` does not bring.
    """

    kind: ClassVar[str] = "objective"
    cacheable: bool = True
    tokens: bool = False
    pair: bool = False
    scale: Scalar | None = None
    bias: Scalar | None = None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReaderSpec(TestedSpec):
    """Undecoded samples by row number: target is a `Reader` class.

    example: `module:function(folder) -> dict`; writes a few rows into a folder and returns the options that read them.
    """

    kind: ClassVar[str] = "reader"
    example: str | None = None


@dataclass(frozen=True, kw_only=True)
class SamplerSpec(Spec):
    """Another order of the training samples: target is a `DataSampler` subclass."""

    kind: ClassVar[str] = "sampler"


@dataclass(frozen=True, kw_only=True)
class EvaluationSpec(Spec):
    """Numbers from a trained model: target is an `Evaluation` class.

    pair: whether it reads the config's `pair`; a config that gives one to an evaluation without is refused.
    """

    kind: ClassVar[str] = "evaluation"
    pair: bool = True


@dataclass(frozen=True, kw_only=True)
class ImporterSpec(Spec):
    """Turns a published checkpoint into a model folder: target is a function, see `anyclip.checkpoint.importing`."""

    kind: ClassVar[str] = "importer"


@dataclass(frozen=True, kw_only=True)
class CommandSpec(Spec):
    """A sub-command of `anyclip`: target is a click command."""

    kind: ClassVar[str] = "command"


@dataclass(frozen=True, kw_only=True)
class LoggerSpec(Spec):
    """Receives metrics: target is a `Logger` class, see `anyclip.trainer.loggers`."""

    kind: ClassVar[str] = "logger"


@dataclass(frozen=True, kw_only=True)
class ModalitySpec(Spec):
    """A kind of input. `target` may be empty: a modality is described by the fields below.

    suffixes: file endings it claims (`.png`), used by `anyclip embed` and the folder and tar readers.
    string_is_value: True when a plain string is the value itself (a caption), False when it is a path.
    decode: `module:function(value) -> Any`; the plain decoded value (an array, a string) of a path, bytes or value.
    content_key: `module:function(value) -> str`; digest of the content, to find equal values. None: the bytes' digest.
    preview: `module:function(value) -> str`; self-contained HTML for reports.
    synthetic: `module:function(scene, rng, **options) -> value`; renders a synthetic scene (see readers.scenes).
    prompts: zero-shot templates with `{}` for the class name; meaningful for modalities that name classes.
    backends: importable modules that can decode it, the preferred first; `anyclip plugins` says which are installed.
    """

    kind: ClassVar[str] = "modality"
    target: str = ""
    suffixes: tuple[str, ...] = ()
    string_is_value: bool = False
    decode: str | None = None
    content_key: str | None = None
    preview: str | None = None
    synthetic: str | None = None
    prompts: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TowerRef:
    """An option whose value is another stream's tower: `frame: {ref: image}` shares the tower object."""

    ref: str


@dataclass(frozen=True, kw_only=True)
class TowerPart:
    """An option whose value is a tower inside another: another stream's, `frame: {ref: image}`, or one of its own,
    `frame: {name: image/timm, options: {...}}`."""

    ref: str | None = None
    """A stream whose tower is shared."""
    name: str | None = None
    """Registry name of a tower of its own."""
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    """Options of the own tower."""

    def __post_init__(self) -> None:
        if (self.ref is None) == (self.name is None):
            raise ValueError("a tower inside another has a `ref` to a stream or a `name` of its own, one of them")
        if self.ref is not None and self.options:
            raise ValueError("a `ref` takes no `options`: they belong to the other stream's tower")


SPEC_TYPES: dict[str, type[Spec]] = {
    cls.kind: cls
    for cls in (
        ModalitySpec,
        TowerSpec,
        LossSpec,
        SimilaritySpec,
        ObjectiveSpec,
        ReaderSpec,
        SamplerSpec,
        EvaluationSpec,
        ImporterSpec,
        CommandSpec,
        LoggerSpec,
    )
}
