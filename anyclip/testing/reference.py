"""Golden values of losses (`*.json` with `cases` in a reference folder): draw a case's inputs, compare a function.

Everything comes from the files: seeds, sizes, settings, values and what is differentiable. `function(inputs, params)`
gets the drawn tensors and the settings, with differentiable ones as leaves, and returns the loss, or a dict with `loss`
and components by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Function = Callable[[dict[str, Tensor], dict[str, Any]], "Tensor | Mapping[str, Any]"]
SLACK = {  # relative tolerances in float64 and float32 of objectives whose origin is less exact
    "declip": (1e-8, 0.0),
    "clip_kd": (1e-8, 0.0),
    "whitened_clip": (1e-9, 1e-3),
}


@dataclass(frozen=True)
class Case:
    """One recorded case: `data` is its JSON entry, `arrays` the file's whole inputs and gradients."""

    objective: str
    data: dict[str, Any]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.objective}-{self.data['id']}"

    def inputs(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The case's tensors, drawn in float32 and cast; the recorded ones where there are any.

        Raises ValueError when this generator draws others and none are recorded.
        """
        generator = torch.Generator().manual_seed(self.data["seed"])
        drawn = {}
        for entry in self.data["inputs"]:
            tensor = draw(entry, generator)
            name = f"{self.data['id']}/in_{entry['name']}"
            if name in self.arrays:
                tensor = torch.from_numpy(self.arrays[name])
            elif not _as_recorded(tensor, entry):
                raise ValueError(f"{self}: this generator draws another {entry['name']}, and none is recorded")
            drawn[entry["name"]] = tensor.to(dtype) if tensor.is_floating_point() else tensor
        return drawn

    @property
    def loose(self) -> bool:
        """Whether float32 rounds more: a scale of 100, or features that are not normalised."""
        scales = [v for k, v in self.data["params"].items() if "scale" in k]
        flat = [v for value in scales for v in (value if isinstance(value, list) else [value])]
        raw = any(entry["recipe"] in ("normal", "correlated") for entry in self.data["inputs"])
        return raw or any(v is not None and v >= 100 for v in flat)


@dataclass(frozen=True)
class Difference:
    """One compared number or gradient: how far off, and how far it may be."""

    name: str
    error: float
    tolerance: float

    @property
    def share(self) -> float:
        """1 = at the limit."""
        return self.error / self.tolerance if self.error == self.error else float("inf")


def cases(folder: Path, objective: str) -> Iterator[Case]:
    """Every case of `folder/objective.json`."""
    data = json.loads((folder / f"{objective}.json").read_text())
    archive = folder / f"{objective}.npz"
    arrays = dict(np.load(archive, allow_pickle=False)) if archive.exists() else {}
    for case in data["cases"]:
        yield Case(objective, case, arrays)


def draw(entry: dict[str, Any], generator: torch.Generator) -> Tensor:
    """One tensor by its recipe."""
    shape = entry["shape"]
    if entry["recipe"] not in _RECIPES:
        raise KeyError(f"no recipe {entry['recipe']!r}")
    return _RECIPES[entry["recipe"]](entry, shape, generator)


def _unit_normal(entry: dict[str, Any], shape: list[int], g: torch.Generator) -> Tensor:
    return F.normalize(torch.randn(shape, generator=g), dim=-1)


def _length_mask(entry: dict[str, Any], shape: list[int], g: torch.Generator) -> Tensor:
    lengths = torch.randint(1, shape[1] + 1, (shape[0],), generator=g)
    lengths[0] = shape[1]
    return (torch.arange(shape[1])[None] < lengths[:, None]).float()


def _presence(entry: dict[str, Any], shape: list[int], g: torch.Generator) -> Tensor:
    present = (torch.rand(shape, generator=g) > entry["p_missing"]).float()
    present[: entry.get("full_rows") or 0] = 1
    if entry.get("absent_column") is not None:
        present[:, entry["absent_column"]] = 0
    return present


def _masked_labels(entry: dict[str, Any], shape: list[int], g: torch.Generator) -> Tensor:
    labels = torch.randint(0, entry["high"], shape, generator=g)
    dropped = torch.rand(shape, generator=g) < entry["p_drop"]
    dropped[0, 0] = False
    labels[dropped] = -100
    return labels


def _unit_normal_blocks(entry: dict[str, Any], shape: list[int], g: torch.Generator) -> Tensor:
    return torch.cat([F.normalize(torch.randn(shape[0], k, generator=g), dim=-1) for k in entry["widths"]], dim=1)


def _correlated(entry: dict[str, Any], shape: list[int], g: torch.Generator) -> Tensor:
    """A matrix product in float32: its rounding depends on the processor (sums with or without fused steps).

    Of the roundings that occur, the one that has the recorded sum is taken.
    """
    x = torch.randn(shape, generator=g)
    mixed = torch.eye(shape[1]) + entry["mix"] * torch.randn(shape[1], shape[1], generator=g)
    plain, fused = torch.zeros(shape), torch.zeros(shape)
    for k in range(shape[1]):
        plain = plain + x[:, k, None] * mixed[k]
        fused = (fused.double() + x[:, k, None].double() * mixed[k].double()).float()
    found = [product + entry["offset"] for product in (x @ mixed, plain, fused)]
    return min(found, key=lambda y: abs(float(y.double().sum()) - entry.get("sum", 0.0)))


_RECIPES: dict[str, Callable[[dict[str, Any], list[int], torch.Generator], Tensor]] = {
    "unit_normal": _unit_normal,
    "normal": lambda e, shape, g: e.get("std", 1.0) * torch.randn(shape, generator=g),
    "uniform": lambda e, shape, g: torch.rand(shape, generator=g) + e.get("low", 0.0),
    "integers": lambda e, shape, g: torch.randint(0, e["high"], shape, generator=g),
    "length_mask": _length_mask,
    "presence": _presence,
    "masked_labels": _masked_labels,
    "unit_normal_blocks": _unit_normal_blocks,
    "near_identity": lambda e, shape, g: torch.eye(shape[0]) + e["std"] * torch.randn(shape, generator=g),
    "correlated": _correlated,
}


def _as_recorded(tensor: Tensor, entry: dict[str, Any]) -> bool:
    flat = tensor.double().flatten()
    first = torch.tensor(entry.get("first4", []), dtype=torch.float64)
    total = entry.get("sum", float(flat.sum()))
    close = torch.allclose(flat[: len(first)], first, rtol=1e-6, atol=1e-7)
    return close and abs(float(flat.sum()) - total) <= 1e-4 * max(1.0, float(flat.abs().sum()))


def compare(case: Case, function: Function, dtype: torch.dtype = torch.float64) -> list[Difference]:
    """Loss, components and gradients of one run against the recorded ones.

    float64: loss and components relative 1e-9, absolute 1e-10; gradients absolute 1e-9 x max(1, the largest entry).
    float32: relative 2e-5 (1e-4 where `loose`), absolute 1e-6, against the recorded float32 run; the norm of a
    gradient's difference from the float64 one within 1e-3 of its norm, absolute 1e-6.
    """
    tensors, params = case.inputs(dtype), dict(case.data["params"])
    leaves = {}
    for name in case.data["differentiable"]:
        if name in tensors:
            leaves[name] = tensors[name] = tensors[name].requires_grad_()
        else:
            leaves[name] = params[name] = torch.tensor(params[name], dtype=dtype, requires_grad=True)
    returned = function(tensors, params)
    found = dict(returned) if isinstance(returned, Mapping) else {"loss": returned}
    exact = dtype == torch.float64
    slack = SLACK.get(case.objective, (1e-9, 0.0))
    relative = slack[0] if exact else max(slack[1], 1e-4 if case.loose else 2e-5)
    differences = []
    for name, want in case.data["float64" if exact else "float32"].items():
        if name not in found:
            differences.append(Difference(f"{name} (not computed)", float("inf"), 1.0))
            continue
        got, recorded = (torch.as_tensor(x, dtype=torch.float64).detach() for x in (found[name], want))
        size = float(recorded.abs().max()) if recorded.numel() else 0.0
        error = float((got - recorded).abs().max()) if got.shape == recorded.shape else float("inf")
        differences.append(Difference(name, error, relative * size + (1e-10 if exact else 1e-6)))
    found["loss"].backward()
    for name, leaf in leaves.items():
        grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        differences.append(_gradient_difference(case, name, grad.double(), slack[0] if exact else None))
    return differences


def _gradient_difference(case: Case, name: str, grad: Tensor, relative: float | None) -> Difference:
    """relative: of the largest entry, in float64; None for a float32 run."""
    recorded = case.data["grads_float64"].get(name)
    whole = case.arrays.get(f"{case.data['id']}/grad_{name}")
    label = f"d/d {name}"
    if whole is None and (recorded is None or isinstance(recorded, (int, float))):
        whole = np.full(tuple(grad.shape), float(recorded or 0.0))
    if whole is not None:
        want = torch.from_numpy(np.asarray(whole, dtype=np.float64)).reshape(grad.shape)
        if relative is None:
            return Difference(label, float((grad - want).norm()), 1e-3 * float(want.norm()) + 1e-6)
        largest = float(want.abs().max()) if want.numel() else 0.0
        return Difference(label, float((grad - want).abs().max()), relative * max(1.0, largest))
    assert isinstance(recorded, dict)
    return _summary_difference(label, grad, recorded, relative)


def _summary_difference(label: str, grad: Tensor, recorded: dict[str, Any], relative: float | None) -> Difference:
    """Against the norm, the first entries and a ramp (which notices a permutation), where no whole one is recorded.

    The error is that of the worst of them, brought to the scale of one entry (float64) or of the norm (float32).
    """
    flat, n = grad.flatten(), grad.numel()
    ramp = torch.arange(n, dtype=torch.float64) / n
    first = torch.tensor(recorded["first8"], dtype=torch.float64)
    norm = abs(float(flat.norm()) - recorded["norm"])
    dot = abs(float(flat @ ramp) - recorded["dot_ramp"])
    entry = float((flat[: len(first)] - first).abs().max())
    if relative is None:
        worst = max(norm, entry, dot / max(float(ramp.norm()), 1.0))
        return Difference(label, worst, 1e-3 * recorded["norm"] + 1e-6)
    worst = max(entry, norm / n**0.5, dot / max(float(ramp.sum()), 1.0))
    return Difference(label, worst, relative * max(1.0, float(flat.abs().max())))


def differences(case: Case, function: Function) -> dict[str, float]:
    """float64 errors of loss and gradients, as shares of what is tolerated (1 = at the limit)."""
    return {d.name: d.share for d in compare(case, function) if d.name == "loss" or d.name.startswith("d/d")}
