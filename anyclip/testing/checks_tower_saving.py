"""Checks of a tower around saving, other number formats, other devices and compilers."""

from __future__ import annotations

import copy
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyclip.processors.base import map_tensors, to_dtype
from anyclip.testing.compare import require_close
from anyclip.testing.kit import Check, Fault, NotApplicable, check, describe_error
from anyclip.testing.subjects import TowerSubject
from anyclip.towers import Encoding

SAVING: list[Check] = []


@check(SAVING)
def state_is_restored(subject: TowerSubject) -> None:
    """A state dict of plain tensors, loaded into a tower with other weights, gives the same embeddings."""
    state = subject.tower.state_dict()
    odd = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if odd:
        raise Fault(f"the state dict holds {', '.join(odd)}, which is no tensor.", "register_buffer, or an option")
    other = subject.build(seed=1).eval()
    result = other.load_state_dict(copy.deepcopy(state), strict=False)
    if result.missing_keys or result.unexpected_keys:
        names = [*result.missing_keys, *result.unexpected_keys]
        raise Fault(f"state dicts of two towers have other names: {', '.join(names[:4])}.", "build the same modules")
    require_close(
        subject.encode(subject.inputs(), tower=other).pooled,
        subject.pooled,
        "after load_state_dict another tower gives other embeddings: something that matters is not in the state",
        "register_buffer(name, tensor) what forward reads and no option determines",
        tolerance=1e-6,
    )


@check(SAVING)
def rebuilds_from_assets(subject: TowerSubject) -> None:
    """`save_assets` writes what `from_options(assets=..., load_weights=False)` needs; a checkpoint brings the rest."""
    with tempfile.TemporaryDirectory(prefix="anyclip-") as folder:
        subject.tower.save_assets(Path(folder))
        other = subject.build(seed=2, assets=Path(folder), load_weights=False).eval()
    other.load_state_dict(subject.tower.state_dict())
    if other.processor.key() != subject.tower.processor.key():
        raise Fault(
            "rebuilt from its assets, the processor has another key.", "save what the processor needs in save_assets"
        )
    require_close(
        subject.encode(subject.inputs(), tower=other).pooled,
        subject.pooled,
        "rebuilt from its assets it gives other embeddings",
        "save what the tower needs in save_assets and read it in from_options",
        tolerance=1e-6,
    )


@check(SAVING)
def copies(subject: TowerSubject) -> None:
    """`copy.deepcopy` works (EMA, teachers)."""
    tower = subject.tower
    try:
        other = copy.deepcopy(tower)
    except Exception as error:
        raise Fault(
            f"the tower cannot be copied: {describe_error(error)}", "keep files, locks and lambdas out"
        ) from error
    require_close(subject.encode(subject.inputs(), tower=other).pooled, subject.pooled, "a copy embeds otherwise", "")


@check(SAVING)
def bfloat16_is_close(subject: TowerSubject) -> str:
    """Under bf16 autocast, and with bf16 weights, embeddings point the same way as in float32."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = subject.encode(subject.inputs()).pooled
    whole = subject.copy().to(torch.bfloat16).eval()
    pure = subject.encode(to_dtype(subject.inputs(), torch.bfloat16), tower=whole).pooled
    worst = 1.0
    for label, found in (("autocast", mixed), ("bf16 weights", pure)):
        cosine = float(F.cosine_similarity(found.float(), subject.pooled, dim=-1).min())
        if not cosine >= 0.95:
            raise Fault(
                f"with {label} the embedding turns away: cosine {cosine:.3f} to that of float32.",
                "compute sums over many values, norms and exponentials in float32",
            )
        worst = min(worst, cosine)
    return f"cosine {worst:.4f}"


@check(SAVING)
def device_is_free(subject: TowerSubject) -> str:
    """Weights and inputs on another device: nothing in forward stays behind."""
    tower = subject.copy().eval()
    if torch.cuda.is_available():
        inputs = map_tensors(subject.inputs(), lambda x: x.cuda())
        _refuse_mismatch(lambda: tower.cuda()(inputs))
        return "cuda"
    _refuse_mismatch(lambda: _on_imagined_device(tower, subject.inputs()))
    return "an imagined device"


def _on_imagined_device(tower: nn.Module, inputs: Any) -> None:
    """Shapes and devices only: torch's fake tensors say they are on a GPU that need not be there."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
        moved = {name: torch.empty_like(x, device="cuda") for name, x in _all_tensors(tower)}
        there = map_tensors(inputs, lambda x: torch.empty_like(x, device="cuda"))
        torch.func.functional_call(tower, moved, (there,))


def _all_tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _refuse_mismatch(call: Any) -> None:
    try:
        call()
    except Exception as error:
        text = f"{type(error).__name__} {error}"
        if "same device" in text or "DeviceMismatch" in text or "two devices" in text:
            raise Fault(
                f"on another device forward mixes devices: {describe_error(error)}",
                "create tensors with device=x.device, and register_buffer constants so that .to() moves them",
            ) from error
        raise NotApplicable(f"cannot be tried without a GPU: {describe_error(error)[:160]}") from error


@check(SAVING, optional=True)
def exports(subject: TowerSubject) -> None:
    """`torch.export` gives a program with the same embeddings."""
    tower = subject.copy().eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(_Pooled(tower), (subject.inputs(),), strict=False)
        found = program.module()(subject.inputs())
    require_close(found, subject.pooled, "the exported program embeds otherwise", "leave values out of control flow")


@check(SAVING, optional=True)
def compiles(subject: TowerSubject) -> None:
    """`torch.compile` takes forward as one graph."""
    tower = subject.copy().eval()
    torch._dynamo.reset()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        found = torch.compile(_Pooled(tower), backend="eager", fullgraph=True)(subject.inputs())
    torch._dynamo.reset()
    require_close(found, subject.pooled, "the compiled tower embeds otherwise", "leave values out of control flow")


class _Pooled(nn.Module):
    """The part of a tower that every objective reads."""

    def __init__(self, tower: nn.Module):
        super().__init__()
        self.tower = tower

    def forward(self, inputs: Any) -> Tensor:
        encoding = self.tower(inputs)
        assert isinstance(encoding, Encoding)
        return encoding.pooled
