"""Golden values of losses (`losses/*.json` of a reference folder): draw a case's inputs, compare a function with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Function = Callable[[dict[str, Tensor], dict[str, Any]], Tensor]


@dataclass(frozen=True)
class Case:
    """One recorded case: `data` is its JSON entry, `arrays` the file's whole inputs and gradients."""

    objective: str
    data: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def __str__(self) -> str:
        return f"{self.objective}-{self.data['id']}"

    def inputs(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The case's tensors, drawn in float32 and cast; the recorded ones where this generator draws others."""
        generator = torch.Generator().manual_seed(self.data["seed"])
        drawn = {}
        for entry in self.data["inputs"]:
            tensor = draw(entry, generator)
            first = torch.tensor(entry["first4"], dtype=torch.float64)
            if not torch.allclose(tensor.flatten()[: len(first)].double(), first, atol=1e-7):
                tensor = torch.from_numpy(self.arrays[f"{self.data['id']}/in_{entry['name']}"])
            drawn[entry["name"]] = tensor.to(dtype) if tensor.is_floating_point() else tensor
        return drawn


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
    if entry["recipe"] == "unit_normal":
        return F.normalize(torch.randn(shape, generator=generator), dim=-1)
    if entry["recipe"] == "normal":
        return entry.get("std", 1.0) * torch.randn(shape, generator=generator)
    if entry["recipe"] == "uniform":
        return torch.rand(shape, generator=generator) + entry.get("low", 0.0)
    if entry["recipe"] == "integers":
        return torch.randint(0, entry["high"], shape, generator=generator)
    if entry["recipe"] == "presence":
        present = (torch.rand(shape, generator=generator) > entry["p_missing"]).float()
        present[: entry.get("full_rows", 0)] = 1
        if entry.get("absent_column") is not None:
            present[:, entry["absent_column"]] = 0
        return present
    raise KeyError(f"no recipe {entry['recipe']!r}")


def differences(case: Case, function: Function) -> dict[str, float]:
    """float64 errors of `function(inputs, params)`, as shares of what is tolerated (1 = at the limit).

    The loss: relative 1e-9, absolute 1e-10. Gradients: absolute 1e-9 x max(1, the largest entry).
    """
    tensors = case.inputs(torch.float64)
    params: dict[str, Any] = dict(case.data["params"])
    leaves = {}
    for name in case.data["differentiable"]:
        if name in tensors:
            leaves[name] = tensors[name] = tensors[name].requires_grad_()
        else:
            leaves[name] = params[name] = torch.tensor(params[name], dtype=torch.float64, requires_grad=True)
    loss = function(tensors, params)
    loss.backward()
    want = case.data["float64"]["loss"]
    found = {"loss": abs(loss.item() - want) / (1e-10 + 1e-9 * abs(want))}
    for name, leaf in leaves.items():
        grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        found[name] = _gradient_difference(case, name, grad)
    return found


def _gradient_difference(case: Case, name: str, grad: Tensor) -> float:
    recorded = case.data["grads_float64"].get(name)
    whole = case.arrays.get(f"{case.data['id']}/grad_{name}")
    if whole is not None:
        want = torch.from_numpy(whole).reshape(grad.shape)
        return float((grad - want).abs().max() / (1e-9 * max(1.0, float(want.abs().max()))))
    if recorded is None or isinstance(recorded, (int, float)):
        return abs(float(grad.norm()) if recorded is None else float(grad) - recorded) / (
            1e-9 * max(1.0, abs(recorded or 0.0))
        )
    flat = grad.flatten()
    ramp = float((flat * torch.arange(len(flat), dtype=flat.dtype)).sum() / len(flat))
    first = torch.tensor(recorded["first8"], dtype=flat.dtype)
    errors = [abs(float(flat.norm()) - recorded["norm"]), abs(ramp - recorded["dot_ramp"])]
    errors.append(float((flat[: len(first)] - first).abs().max()))
    return max(errors) / (1e-9 * max(1.0, recorded["norm"]))
