"""What the checks look at: a registered part with the options and values it is tried with."""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anyclip.losses import create_loss
from anyclip.losses.base import Loss
from anyclip.readers import Reader, create_reader
from anyclip.readers.options import SyntheticOptions
from anyclip.readers.scenes import FACTORS
from anyclip.readers.synthetic import SyntheticReader
from anyclip.registry import Part, get_registry
from anyclip.registry.registry import resolve
from anyclip.specs import ModalitySpec, ReaderSpec, TestedSpec, TowerSpec
from anyclip.testing.kit import Fault, NotApplicable
from anyclip.towers import Encoding, Tower, create_tower

ROWS = 4


class Subject:
    """A registered part. Options, exemptions and promises default to those of its spec."""

    kind = ""

    def __init__(
        self,
        name: str,
        *,
        kind: str | None = None,
        options: Mapping[str, Any] | None = None,
        exempt: Mapping[str, str] | None = None,
        promises: Sequence[str] | None = None,
    ):
        self.kind = kind or self.kind
        self.name = name
        self.part: Part = get_registry().part(self.kind, name)
        self.spec = self.part.spec
        tested = self.spec if isinstance(self.spec, TestedSpec) else None
        self.options = dict(options if options is not None else tested.tiny if tested else {})
        self.exempt = dict(exempt if exempt is not None else tested.exempt if tested else {})
        promised = self.spec.promises if isinstance(self.spec, TowerSpec) else ()
        self.promises = tuple(promises if promises is not None else promised)
        self._failure: BaseException | None = None

    @property
    def label(self) -> str:
        return f"{self.kind} {self.part.qualified}"

    def once(self, build: Callable[[], Any]) -> Any:
        """What `build` gives; once it failed, later checks are not applicable instead of failing with the same."""
        if self._failure is not None:
            raise NotApplicable(f"the {self.kind} could not be built")
        try:
            return build()
        except NotApplicable:
            raise
        except (Exception, SystemExit) as error:
            self._failure = error
            raise


def rendered(modality: str, n: int) -> list[Any]:
    """n synthetic values of a modality. Raises Fault when it has no renderer."""
    spec = get_registry().modality(modality)
    if not spec.synthetic:
        raise Fault(
            f"there are no values to try: the modality {modality!r} cannot render scenes.",
            "give `values(self, n)` in the contract class, or `synthetic=` in the ModalitySpec",
        )
    values = []
    for row in range(n):  # rich and poor scenes in turn: values of different lengths where lengths vary
        factors = [list(FACTORS), ["shape", "motion", "pitch"], list(FACTORS)[:7]][row % 3]
        reader = SyntheticReader(SyntheticOptions(size=n, split="all", factors=factors))
        values.append(reader.value(row, modality, modality=modality))
    return values


class TowerSubject(Subject):
    """A tower. values(n): n different values that its processor loads; default: the spec's, else synthetic scenes of
    its modality."""

    kind = "tower"

    def __init__(self, name: str, *, values: Callable[[int], Sequence[Any]] | None = None, **more: Any):
        super().__init__(name, **more)
        self._values = values

    @property
    def modality(self) -> str:
        return self.part.spec.name.split("/", 1)[0]

    @functools.cached_property
    def values(self) -> list[Any]:
        values = self._values
        if values is None and isinstance(self.spec, TowerSpec) and self.spec.values:
            values = resolve(self.spec.values, owner=self.part)
        found = list(values(ROWS)) if values else rendered(self.modality, ROWS)
        if len(found) != ROWS:
            raise Fault(f"values({ROWS}) gave {len(found)} values.", "return as many values as are asked for")
        return found

    def build(self, *, seed: int = 0, assets: Path | None = None, load_weights: bool = True) -> Tower:
        """A new tower with weights from `seed`: first weights plus noise, because zeros would hide mistakes."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            refs = {ref: create_tower(ref, **_tiny(ref)) for ref in _refs(self.options)}
            tower = create_tower(
                self.part.qualified, refs=refs, assets=assets, load_weights=load_weights, **self.options
            )
            with torch.no_grad():
                for parameter in tower.parameters():
                    if parameter.is_floating_point():
                        parameter += 0.05 * torch.randn_like(parameter)
        return tower

    @functools.cached_property
    def _tower(self) -> Tower:
        return self.build()

    @property
    def tower(self) -> Tower:
        """One tower for all checks, in eval mode; never changed by them."""
        return self.once(lambda: self._tower).eval()

    def copy(self) -> Tower:
        """A copy that a check may change."""
        tower = self.tower
        try:
            return copy.deepcopy(tower)
        except Exception:  # what cannot be copied is built again; `copies_and_saves` names it
            return self.build()

    @functools.cached_property
    def samples(self) -> list[Any]:
        return [self.tower.processor.load(value) for value in self.values]

    def inputs(self, rows: Sequence[int] | None = None) -> Any:
        """Collated inputs of some rows (default all)."""
        samples = self.samples if rows is None else [self.samples[row] for row in rows]
        return self.tower.processor.collate(copy.deepcopy(samples))

    def encode(self, inputs: Any, *, tower: Tower | None = None, **kw: Any) -> Encoding:
        """The tower's encoding without grad."""
        with torch.no_grad():
            return (tower or self.tower)(inputs, **kw)

    @functools.cached_property
    def whole(self) -> Encoding:
        """The encoding of all rows in one batch."""
        return self.encode(self.inputs())

    @property
    def pooled(self) -> Tensor:
        return self.whole.pooled


def _refs(options: Any) -> list[str]:
    """Registry names inside `{ref: NAME}` options: towers that the tiny one shares."""
    if isinstance(options, Mapping):
        if set(options) == {"ref"}:
            return [options["ref"]]
        return [ref for value in options.values() for ref in _refs(value)]
    return [ref for value in options for ref in _refs(value)] if isinstance(options, (list, tuple)) else []


def _tiny(name: str) -> dict[str, Any]:
    spec = get_registry().spec("tower", name)
    assert isinstance(spec, TowerSpec)
    return dict(spec.tiny)


class LossSubject(Subject):
    """A loss. columns(n): the extra columns it reads, by name, for n rows; default: `usual_columns`."""

    kind = "loss"

    def __init__(self, name: str, *, columns: Callable[[int], Mapping[str, Any]] | None = None, **more: Any):
        super().__init__(name, **more)
        self._columns = columns

    def build(self, **more: Any) -> Loss:
        return create_loss(self.part.qualified, **{**self.options, **more})

    @functools.cached_property
    def _loss(self) -> Loss:
        return self.build()

    @property
    def loss(self) -> Loss:
        return self.once(lambda: self._loss)

    def columns(self, n: int) -> dict[str, Any]:
        found = {**usual_columns(n), **(self._columns(n) if self._columns else {})}
        missing = [name for name in self.loss.fields if name not in found]
        if missing:
            raise NotApplicable(f"it reads the column {missing[0]!r}: give `columns(self, n)` in the contract class")
        return {name: found[name] for name in self.loss.fields}


def usual_columns(n: int) -> dict[str, Any]:
    """The extra columns that losses of the core read: labels of four classes, sample numbers, weights."""
    rows = torch.arange(n)
    return {"labels": rows % 4, "ids": rows, "sample_weights": 0.5 + torch.cos(rows.double()).square()}


class ReaderSubject(Subject):
    """A reader. example(folder): writes a few rows and returns the options that read them; default: the spec's."""

    kind = "reader"

    def __init__(self, name: str, *, example: Callable[[Path], Mapping[str, Any]] | None = None, **more: Any):
        super().__init__(name, **more)
        self._example = example
        self._folder = tempfile.TemporaryDirectory(prefix="anyclip-")  # removed with the subject

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """The options it is opened with."""
        example = self._example
        if example is None and isinstance(self.spec, ReaderSpec) and self.spec.example:
            example = resolve(self.spec.example, owner=self.part)
        if example is not None:
            return {**example(Path(self._folder.name)), **self.options}
        if not self.options and self._required():
            raise Fault(
                f"there are no rows to try: it needs {', '.join(self._required())}.",
                "give `example(self, folder)` in the contract class, or `example=` in the ReaderSpec",
            )
        return self.options

    def _required(self) -> list[str]:
        from dataclasses import MISSING, fields

        cls = get_registry().options_class("reader", self.part.qualified)
        plain = [f for f in fields(cls) if f.init] if cls is not None else []
        return [f.name for f in plain if f.default is MISSING and f.default_factory is MISSING]

    def open(self) -> Reader:
        """A newly opened reader."""
        return create_reader(self.part.qualified, self.settings, base=self._folder.name)

    @functools.cached_property
    def _reader(self) -> Reader:
        return self.open()

    @property
    def reader(self) -> Reader:
        return self.once(lambda: self._reader)


class ModalitySubject(Subject):
    """A modality."""

    kind = "modality"

    @property
    def modality_spec(self) -> ModalitySpec:
        assert isinstance(self.spec, ModalitySpec)
        return self.spec
