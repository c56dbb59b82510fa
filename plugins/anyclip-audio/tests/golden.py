"""Reads the golden files of published systems: draws their weights and inputs by recipe, compares what is recorded.

The recipes are those of the reference folder's README: weights are random numbers seeded by the tensor's name, inputs
are formulas.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from .conftest import SHARED

FOLDER = SHARED / "reference" / "audio"


def load(name: str) -> dict[str, Any]:
    """One reference file; skips the test where it is not there."""
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"the reference file is not there: {path}")
    return json.loads(path.read_text())


def _g(g: Any, name: str) -> float:
    if not isinstance(g, Mapping):
        return float(g)
    return next((float(v) for prefix, v in g.items() if name.startswith(prefix)), float(g["other"]))


def draw(data: Mapping[str, Any], own: Callable[[str], Tensor | None]) -> dict[str, Tensor]:
    """Every tensor that the recipe sets, by its published name; `own(name)` gives kept values that others build on.

    Checks the fingerprint.
    """
    weights, found = data["weights"], {}
    for name, shape, _, rule in weights["state_dict"]:
        if rule == "keep":
            continue
        r = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
        found[name] = _by_rule(rule, r, _g(weights.get("g", 1.0), name), own(name))
    stamp = weights["fingerprint"]
    assert len(found) == stamp["tensors_set"]
    total = sum(float(value.double().abs().sum()) for value in found.values())
    assert total == pytest.approx(stamp["sum_abs_of_set_float64"], rel=1e-6)
    for name, sample in stamp["samples"].items():
        np.testing.assert_allclose(found[name].flatten()[:4], sample["first4"], rtol=1e-5)
    return found


def _by_rule(rule: str, r: Tensor, g: float, own: Tensor | None) -> Tensor:
    if rule == "fanin":
        return g / float(np.sqrt(np.prod(r.shape[1:]))) * r
    if rule == "fbsp_fc":
        assert own is not None
        return own + 0.02 * r
    return {
        "randn": 0.02 * r,
        "running_var": (0.02 * r).abs() + 1,
        "norm_weight": 0.02 * r + 1,
        "fbsp_m": (0.02 * r).abs(),
        "fbsp_fb": 1 + 0.02 * r,
        "unit_randn": r,
    }[rule]


def waves(data: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, int]]:
    """Input id -> (samples float32, rate), by the formula of the files."""
    found = {}
    for entry in data["inputs"]:
        if entry.get("kind") != "audio":
            continue
        wave = _wave(entry["spec"], entry["num_samples"], entry["sample_rate"])
        np.testing.assert_allclose(wave[:4], entry["first4"], rtol=1e-5)
        assert float(np.abs(wave).sum(dtype=np.float64)) == pytest.approx(entry["sum_abs_float64"], rel=1e-6)
        found[entry["id"]] = (wave, entry["sample_rate"])
    return found


def _wave(spec: Mapping[str, Any], count: int, rate: int) -> np.ndarray:
    t = np.arange(count, dtype=np.float64) / rate
    x = np.zeros(count)
    for a, f, p in spec.get("sines", []):
        x += a * np.sin(2 * np.pi * f * t + p)
    if "am" in spec:
        depth, hz = spec["am"]
        x *= (1 - depth) + depth * np.sin(2 * np.pi * hz * t)
    if "chirp" in spec:
        a, f0, f1 = spec["chirp"]
        x += a * np.sin(2 * np.pi * (f0 * t + 0.5 * (f1 - f0) / (count / rate) * t**2))
    if "noise" in spec:
        a, seed = spec["noise"]
        x += a * np.random.RandomState(seed).standard_normal(count)
    return x.astype(np.float32)


def close_vectors(found: Tensor, recorded: list[Mapping[str, Any]], *, atol: float | None = None) -> None:
    """Rows against recorded vectors: absolute 1e-5 of their rms (or `atol`), relative 1e-4."""
    assert len(found) == len(recorded)
    for row, want in zip(found, recorded):
        assert row.numel() == want["dim"]
        if "values" in want:
            values = torch.tensor(want["values"], dtype=torch.float64)
            size = float(values.square().mean().sqrt())
            torch.testing.assert_close(row.double(), values, atol=atol or 1e-5 * size, rtol=1e-4)
            continue
        size = float(row.square().mean().sqrt())
        for part, name in ((row[:32], "first32"), (row[-8:], "last8")):
            torch.testing.assert_close(
                part.double(), torch.tensor(want[name], dtype=torch.float64), atol=atol or 1e-5 * size, rtol=1e-4
            )
        assert float(row.double().sum()) == pytest.approx(want["sum"], rel=1e-4, abs=1e-3 * size)


def close_statistics(
    found: Tensor, want: Mapping[str, Any], label: str, *, share: float = 1e-5, loose: Mapping[str, float] | None = None
) -> None:
    """mean, deviation, extremes, corners and first values of a tensor: absolute `share` of its rms, relative 1e-4.

    loose: other shares, by name.
    """
    found = found.detach().double()
    assert list(found.shape) == want["shape"], label
    rms = float(np.hypot(want["mean"], want["std"]))
    first = found.reshape(-1, found.shape[-2], found.shape[-1])[0]
    middle = first[first.shape[0] // 2, first.shape[1] // 2]
    seen = {
        "mean": found.mean(),
        "std": found.std(correction=0),
        "min": found.min(),
        "max": found.max(),
    }
    seen = {name: float(value) for name, value in seen.items()}
    corners = {"[0,0]": first[0, 0], "[0,-1]": first[0, -1], "[-1,0]": first[-1, 0], "[-1,-1]": first[-1, -1]}
    corners["[mid,mid]"] = middle
    for name, value in want.get("corners_2d_of_first", {}).items():
        seen[name], want = float(corners[name]), {**want, name: value}
    for name, value in seen.items():
        allowed = (loose or {}).get(name, share) * rms
        assert value == pytest.approx(want[name], abs=allowed, rel=1e-4), f"{label}: {name}"
    head = want.get("first8", [])
    np.testing.assert_allclose(
        found.flatten()[: len(head)], head, atol=share * rms, rtol=1e-4, err_msg=f"{label}: first8"
    )


class Watch:
    """Keeps the outputs of submodules while a model runs."""

    def __init__(self, model: torch.nn.Module, names: Mapping[str, str]):
        """names: label -> name of the submodule."""
        self.seen: dict[str, Tensor] = {}
        self.handles = [
            model.get_submodule(name).register_forward_hook(lambda _, __, out, label=label: self._keep(label, out))
            for label, name in names.items()
        ]

    def _keep(self, label: str, out: Any) -> None:
        out = out[0] if isinstance(out, (tuple, list)) else out
        self.seen.setdefault(label, out.clone())  # the first call: a projection also maps tokens

    def __enter__(self) -> dict[str, Tensor]:
        return self.seen

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            handle.remove()
