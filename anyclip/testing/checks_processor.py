"""Checks of a tower's processor: it travels to loader workers, draws only from its generator, refuses broken values."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from anyclip.errors import BadSample
from anyclip.readers import Blob
from anyclip.registry import get_registry
from anyclip.testing.compare import same, tensors
from anyclip.testing.kit import Check, Fault, check, describe_error
from anyclip.testing.subjects import ROWS, TowerSubject

PROCESSOR: list[Check] = []
GARBAGE = b"\x89\x00\xff\xfe this is no file of any kind \x00\xf0\x28\x8c\x28"


@check(PROCESSOR)
def processor_pickles(subject: TowerSubject) -> str:
    """The processor travels to worker processes, keeps its key there and gives the same samples."""
    processor = subject.tower.processor
    try:
        packed = pickle.dumps(processor)
        other = pickle.loads(packed)
    except Exception as error:
        raise Fault(
            f"the processor cannot be pickled: {describe_error(error)}",
            "keep lambdas, open files and local functions out of its attributes",
        ) from error
    if other.key() != processor.key():
        raise Fault("a pickled processor has another key().", "build the key from plain attributes only")
    if not same([other.load(v) for v in subject.values], subject.samples):
        raise Fault("a pickled processor loads other samples.", "let pickle carry every attribute that load reads")
    return f"{len(packed):,} bytes"


@check(PROCESSOR)
def processor_holds_no_weights(subject: TowerSubject) -> None:
    """The processor is light: no modules and no parameters that every worker would copy."""
    for name, value in vars(subject.tower.processor).items():
        if isinstance(value, (nn.Module, nn.Parameter)):
            raise Fault(
                f"the processor's attribute {name!r} is a {type(value).__name__}.",
                "weights belong into the tower; compute learned features in forward",
            )


@check(PROCESSOR)
def augmentation_follows_its_generator(subject: TowerSubject) -> str | None:
    """The same generator gives the same training sample: nothing else is drawn from."""
    processor = subject.tower.processor

    def draw(seed: int, outside: int) -> list[Any]:
        rng = np.random.Generator(np.random.Philox(seed))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(outside)
            return [processor.load(value, rng=rng) for value in subject.values]

    first = draw(7, 1)
    if not same(first, draw(7, 2)):
        raise Fault(
            "load with the same generator gives other samples.", "draw from `rng` only, never from torch or random"
        )
    processor.collate(first)
    return None if not same(first, draw(8, 1)) else "augments nothing"


@check(PROCESSOR)
def collate_keeps_rows(subject: TowerSubject) -> None:
    """Collated inputs are tensors, in dicts if several, whose axis 0 is the rows."""
    found = list(tensors(subject.inputs()))
    if not found:
        raise Fault("collate gives no tensor.", "return a tensor, or a dict of tensors")
    for path, tensor in found:
        if tensor.ndim == 0 or len(tensor) != ROWS:
            raise Fault(
                f"inputs{path} has shape {list(tensor.shape)}: axis 0 is not the {ROWS} rows.",
                "stack samples on axis 0; the trainer cuts and sends rows",
            )
    if isinstance(subject.inputs(), Mapping) and any(isinstance(v, Tensor) and v.is_cuda for _, v in found):
        raise Fault("collate puts tensors on a GPU.", "leave that to the trainer")


@check(PROCESSOR)
def values_are_left_alone(subject: TowerSubject) -> None:
    """`load` does not change the value it is given."""
    for value in subject.values:
        kept = pickle.dumps(value)
        subject.tower.processor.load(value)
        if pickle.dumps(value) != kept:
            raise Fault("load changes the value it is given.", "copy arrays before changing them")


@check(PROCESSOR)
def broken_values_are_refused(subject: TowerSubject) -> str:
    """Damaged bytes, an empty file and a path that is not there raise BadSample with the reason."""
    values: dict[str, Any] = {"damaged bytes": Blob(GARBAGE, "damaged"), "no bytes": Blob(b"", "empty"), "None": None}
    if not get_registry().modality(subject.modality).string_is_value:
        values["a path that is not there"] = "/nowhere/at-all/sample"
    processor = subject.tower.processor
    for label, value in values.items():
        try:
            processor.load(value)
        except BadSample as error:
            if not error.reason.strip():
                raise Fault(f"{label}: BadSample without a reason.", "say what is wrong in a few words") from None
        except Exception as error:
            raise Fault(
                f"{label} raises {describe_error(error)}", "raise anyclip.BadSample(reason); catch what decoders throw"
            ) from error
        else:
            raise Fault(f"{label} is loaded as if it were a value.", "raise anyclip.BadSample(reason)")
    return f"{len(values)} kinds"
