"""One stream of a model as a program without Python: torch.export or ONNX, compared with the model itself."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from anyclip.api.examples import example_samples
from anyclip.checkpoint import write_text_atomic
from anyclip.errors import UserError

if TYPE_CHECKING:
    from anyclip.api.model import Model

Format = Literal["torch", "onnx"]
SUFFIX: dict[str, str] = {"torch": ".pt2", "onnx": ".onnx"}
_NEEDS = {"torch": (), "onnx": ("onnx", "onnxscript", "onnxruntime")}
_TRIED = (2, 3, 1)  # batch sizes: the one that is traced, and others


@dataclass(frozen=True)
class Exported:
    """What was written, and how far its embeddings are from the model's.

    largest_difference: over all numbers of all tried batches; embeddings have unit length. batch: the only size that
    the program takes, or None: any.
    """

    path: Path
    stream: str
    format: str
    inputs: dict[str, list[int]]
    largest_difference: float
    batch: int | None


def export_stream(model: Model, stream: str, out: str | Path, *, format: Format = "torch", batch: int | None = None):
    """Write the tower and projection of a stream: collated inputs -> unit-length embeddings [B, E].

    The program takes what the stream's processor collates, in that order; a JSON file beside it names the inputs.
    batch: fix the batch size; None: any size, and any length where the tower allows it.
    Returns an Exported with the parity that was measured on example values. Raises UserError for a missing library
    and for a tower that cannot be exported, naming the reason.
    """
    _require(format)
    stream, path = model.stream(stream), Path(out)
    joint = model.joint.to("cpu").eval()
    sizes = (batch,) if batch else _TRIED
    samples = example_samples(joint, stream, max(sizes))
    batches = [joint.processor(stream).collate(samples[:size]) for size in sizes]
    program = _Program(joint, stream, batches[0]).eval()
    given = [program.flatten(b) for b in batches]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = _trace(program, given[0], fixed=batch is not None, what=stream)
        path.parent.mkdir(parents=True, exist_ok=True)
        run = _save_torch(traced, path) if format == "torch" else _save_onnx(traced, path, program.names)
        worst = _compare(run, program, given, stream, path)
    shapes = {name: list(x.shape) for name, x in zip(program.names, given[0])}
    found = Exported(path, stream, format, shapes, worst, batch)
    _describe(found, model)
    return found


class _Program(nn.Module):
    """Positional tensors -> embeddings; what is not a tensor in the collated inputs is part of the program."""

    def __init__(self, joint: nn.Module, stream: str, inputs: Any):
        super().__init__()
        self.joint, self.stream = joint, stream
        whole = inputs if isinstance(inputs, Mapping) else {"x": inputs}
        self.plain = not isinstance(inputs, Mapping)
        self.names = [name for name, value in whole.items() if isinstance(value, Tensor)]
        self.others = {name: value for name, value in whole.items() if not isinstance(value, Tensor)}

    def flatten(self, inputs: Any) -> tuple[Tensor, ...]:
        return (inputs,) if self.plain else tuple(inputs[name] for name in self.names)

    def forward(self, *tensors: Tensor) -> Tensor:
        inputs = tensors[0] if self.plain else {**dict(zip(self.names, tensors)), **self.others}
        return self.joint.embed(self.stream, inputs)  # type: ignore[operator]


def _trace(program: _Program, inputs: tuple[Tensor, ...], *, fixed: bool, what: str) -> Any:
    shapes = None if fixed else (tuple(dict.fromkeys(range(x.ndim), torch.export.Dim.AUTO) for x in inputs),)
    try:
        return torch.export.export(program, inputs, dynamic_shapes=shapes, strict=False)
    except Exception as error:  # the tracer raises whatever the tower's code meets
        reason = (str(error).strip().splitlines() or [repr(error)])[0]
        hint = "" if fixed else "A fixed batch size may work: --batch-size 1."
        raise UserError(f"the tower of {what} cannot be exported: {reason}", hint=hint) from error


def _save_torch(traced: Any, path: Path) -> Any:
    torch.export.save(traced, path)
    loaded = torch.export.load(path).module()
    return lambda inputs: loaded(*inputs)


def _save_onnx(traced: Any, path: Path, names: list[str]) -> Any:
    import onnxruntime

    try:
        written = torch.onnx.export(traced, input_names=names, output_names=["embedding"], dynamo=True, verbose=False)
        assert written is not None
        written.save(path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # an operator that ONNX lacks, of whichever library's error
        reason = (str(error).strip().splitlines() or [repr(error)])[0]
        raise UserError(f"the program cannot be written as ONNX: {reason}", hint="Try --format torch.") from error
    wanted = [entry.name for entry in session.get_inputs()]  # an input that changes nothing is left out

    def run(inputs: tuple[Tensor, ...]) -> Tensor:
        given = {name: x.numpy() for name, x in zip(names, inputs) if name in wanted}
        return torch.from_numpy(session.run(["embedding"], given)[0])

    return run


def _compare(run: Any, program: _Program, batches: list[tuple[Tensor, ...]], stream: str, path: Path) -> float:
    worst = 0.0
    for inputs in batches:
        rows = len(inputs[0])
        try:
            found = run(inputs)
        except Exception as error:
            path.unlink(missing_ok=True)
            traced = len(batches[0][0])
            raise UserError(
                f"the program of {stream} was traced with {traced} rows and fails with {rows}: nothing is written.",
                hint=f"The tower fixes the batch size; export for one: --batch-size {traced}.",
            ) from error
        worst = max(worst, float((found - program(*inputs)).abs().max()))
    return worst


def _describe(found: Exported, model: Model) -> None:
    values = {**asdict(found), "path": found.path.name, "modality": model.modalities[found.stream], "dim": model.dim}
    write_text_atomic(found.path.with_suffix(".json"), json.dumps(values, indent=2) + "\n")


def _require(format: str) -> None:
    missing = [name for name in _NEEDS[format] if find_spec(name) is None]
    if missing:
        raise UserError(
            f"{format} needs {', '.join(missing)}, which is not installed.", next='pip install "anyclip[export]"'
        )
