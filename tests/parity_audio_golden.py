"""Draws the weights and inputs of the audio reference files by their recipe and compares what they record.

The recipes are those of the reference folder's README: weights are random numbers seeded by the tensor's name, inputs
are formulas. Everything that is compared becomes a `Difference`; a shape that does not fit is an infinite one.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from parity_report import Line
from torch import Tensor

from anyclip.testing.reference import Difference

EMBEDDING = 2e-6  # absolute tolerance of normalised embeddings
RELATIVE = 1e-4
SHARE = 1e-5  # absolute tolerance of other values, as a share of their rms
Own = Callable[[str, list[int]], "Tensor | None"]


def line(case: str, differences: Sequence[Difference]) -> Line:
    """One line of the report in float32."""
    failed = not differences or any(not d.share <= 1 for d in differences)
    reason = "" if differences else "nothing was compared"
    return Line(case, "float32", tuple(differences), "FAIL" if failed else "pass", reason)


def left(case: str, reason: str) -> Line:
    """Something of a file that is not compared, and why."""
    return Line(case, "", (), "left", reason)


def draw(data: Mapping[str, Any], own: Own = lambda name, shape: None) -> dict[str, Tensor]:
    """Every floating-point tensor that the recipe sets, by its published name.

    own(name, shape): kept values that a rule builds on. Raises ValueError where the fingerprint says that these are
    other weights: nothing after that would mean anything.
    """
    weights, found = data["weights"], {}
    for name, shape, _, rule in weights["state_dict"]:
        if rule != "keep":
            r = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
            found[name] = _by_rule(rule, r, _g(weights.get("g", 1.0), name), own(name, shape))
    stamp = weights["fingerprint"]
    total = sum(float(value.double().abs().sum()) for value in found.values())
    same = len(found) == stamp["tensors_set"] and math.isclose(total, stamp["sum_abs_of_set_float64"], rel_tol=1e-6)
    for name, sample in stamp["samples"].items():
        same &= np.allclose(found[name].flatten()[:4], sample["first4"], rtol=1e-5)
    if not same:
        raise ValueError("the drawn weights are not those of the file: its fingerprint differs")
    return found


def checkpoint(data: Mapping[str, Any], own: Own) -> dict[str, Tensor]:
    """The whole published state dict: drawn tensors, and the kept ones from `own(name, shape)`."""
    drawn = draw(data, own)
    state: dict[str, Tensor] = {}
    for name, shape, dtype, rule in data["weights"]["state_dict"]:
        value = drawn[name] if rule != "keep" else own(name, shape)
        state[name] = torch.zeros(shape, dtype=getattr(torch, dtype)) if value is None else value
    return state


def _g(g: Any, name: str) -> float:
    if not isinstance(g, Mapping):
        return float(g)
    return next((float(v) for prefix, v in g.items() if name.startswith(prefix)), float(g["other"]))


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
    """Input id -> (samples float32, rate), by the formula of the files. Raises ValueError where they differ."""
    found = {}
    for entry in data["inputs"]:
        if entry.get("kind") != "audio":
            continue
        wave = sound(entry["spec"], entry["num_samples"], entry["sample_rate"])
        total = float(np.abs(wave).sum(dtype=np.float64))
        if not (np.allclose(wave[:4], entry["first4"], rtol=1e-5) and math.isclose(
            total, entry["sum_abs_float64"], rel_tol=1e-6
        )):  # fmt: skip
            raise ValueError(f"input {entry['id']} is another one than the file's")
        found[entry["id"]] = (wave, entry["sample_rate"])
    return found


def sound(spec: Mapping[str, Any], count: int, rate: int) -> np.ndarray:
    """float32 [count] of the files' formula."""
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


def close(name: str, found: Any, want: Any, *, atol: float, rtol: float = RELATIVE) -> Difference:
    """The number that uses most of its tolerance atol + rtol |want|; infinite where shapes differ."""
    a = torch.as_tensor(found, dtype=torch.float64).detach()
    b = torch.as_tensor(want, dtype=torch.float64)
    if a.shape != b.shape or not a.numel():
        return Difference(f"{name}: shape {list(a.shape)} for {list(b.shape)}", math.inf, atol)
    error, allowed = (a - b).abs().flatten(), (atol + rtol * b.abs()).flatten()
    worst = int(torch.nan_to_num(error / allowed.clamp_min(1e-300), nan=math.inf).argmax())
    return Difference(name, float(error[worst]), max(float(allowed[worst]), 1e-300))


def vectors(
    name: str, found: Tensor, recorded: Sequence[Mapping[str, Any]], *, atol: float | None = None
) -> list[Difference]:
    """Rows against recorded vectors: absolute 1e-5 of their rms (or `atol`), relative 1e-4."""
    if len(found) != len(recorded) or found.shape[1] != recorded[0]["dim"]:
        return [Difference(f"{name}: shape {list(found.shape)}", math.inf, 1.0)]
    compared = []
    for i, (row, want) in enumerate(zip(found.double(), recorded)):
        rms = want["norm"] / math.sqrt(want["dim"])
        size = atol or SHARE * rms
        label = f"{name}[{i}]"
        if "values" in want:
            compared.append(close(label, row, want["values"], atol=size))
            continue
        compared.append(close(f"{label} first 32", row[:32], want["first32"], atol=size))
        compared.append(close(f"{label} last 8", row[-8:], want["last8"], atol=size))
        compared.append(close(f"{label} sum", row.sum(), want["sum"], atol=1e-3 * rms))
    return compared


def statistics(
    name: str,
    found: Tensor,
    want: Mapping[str, Any],
    *,
    share: float = SHARE,
    loose: Mapping[str, float] | None = None,
) -> list[Difference]:
    """mean, deviation, extremes, corners and first values of a tensor: absolute `share` of its rms, relative 1e-4.

    loose: other shares, by the name of the statistic.
    """
    found = found.detach().double()
    if list(found.shape) != want["shape"]:
        return [Difference(f"{name}: shape {list(found.shape)} for {want['shape']}", math.inf, 1.0)]
    rms = math.hypot(want["mean"], want["std"])
    first = found.reshape(-1, found.shape[-2], found.shape[-1])[0]
    seen = {"mean": found.mean(), "std": found.std(correction=0), "min": found.min(), "max": found.max()}
    corners = {"[0,0]": first[0, 0], "[0,-1]": first[0, -1], "[-1,0]": first[-1, 0], "[-1,-1]": first[-1, -1]}
    corners["[mid,mid]"] = first[first.shape[0] // 2, first.shape[1] // 2]
    pairs = [(label, value, want[label]) for label, value in seen.items()]
    pairs += [(label, corners[label], value) for label, value in want.get("corners_2d_of_first", {}).items()]
    compared = [close(f"{name} {k}", a, b, atol=(loose or {}).get(k, share) * rms) for k, a, b in pairs]
    if head := want.get("first8"):
        compared.append(close(f"{name} first 8", found.flatten()[: len(head)], head, atol=share * rms))
    return compared


class Watch:
    """Keeps the outputs of submodules while a model runs; the first call of each, as a projection also maps tokens."""

    def __init__(self, model: torch.nn.Module, names: Mapping[str, str]):
        """names: label -> name of the submodule."""
        self.seen: dict[str, Tensor] = {}
        self.handles = [
            model.get_submodule(name).register_forward_hook(lambda _, __, out, label=label: self._keep(label, out))
            for label, name in names.items()
        ]

    def _keep(self, label: str, out: Any) -> None:
        out = out[0] if isinstance(out, (tuple, list)) else out
        out = out.last_hidden_state if hasattr(out, "last_hidden_state") else out
        self.seen.setdefault(label, out.clone())

    def __enter__(self) -> dict[str, Tensor]:
        return self.seen

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            handle.remove()
