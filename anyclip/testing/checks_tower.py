"""Checks of a tower: what it returns, that rows do not see each other, that padding does not count, what learns."""

from __future__ import annotations

import copy
import inspect
import re
from typing import Any

import torch
from torch import Tensor, nn

from anyclip.errors import UserError
from anyclip.model.buffers import batch_norm_in_eval
from anyclip.model.checkpointing import layer_modules
from anyclip.processors import Processor
from anyclip.processors.base import map_tensors
from anyclip.testing.compare import cloned, difference, require_close, same, tensors
from anyclip.testing.kit import Check, Fault, NotApplicable, check
from anyclip.testing.subjects import ROWS, TowerSubject
from anyclip.towers import Encoding, Tower

TOWER: list[Check] = []
_REFUSALS = (UserError, NotImplementedError, TypeError)


@check(TOWER)
def builds(subject: TowerSubject) -> str:
    """It is built by name from its small options and says its width, modality and processor."""
    tower = subject.tower
    if not isinstance(tower, Tower):
        raise Fault(f"{type(tower).__name__} is not a Tower.", "subclass anyclip.Tower")
    for attribute, wanted in (("width", int), ("processor", Processor)):
        found = getattr(tower, attribute, None)
        if not isinstance(found, wanted):
            kind = f"{type(found).__name__}" if found is not None else "nothing"
            raise Fault(f"`{attribute}` is {kind}, not {wanted.__name__}.", f"set self.{attribute} in __init__")
    count = sum(p.numel() for p in tower.parameters())
    return f"{count:,} parameters, width {tower.width}"


@check(TOWER)
def shapes_and_dtypes(subject: TowerSubject) -> str:
    """`pooled` is [B, width] in the dtype of the weights; tokens [B, T, width] come with a bool mask [B, T]."""
    tower, found = subject.tower, subject.whole
    if not isinstance(found, Encoding):
        raise Fault(f"forward returned {type(found).__name__}.", "return anyclip.Encoding(pooled=...)")
    if tuple(found.pooled.shape) != (ROWS, tower.width):
        raise Fault(
            f"pooled has shape {list(found.pooled.shape)}; {ROWS} rows of a tower of width {tower.width} give "
            f"[{ROWS}, {tower.width}].",
            "set self.width to what forward returns, and keep one row per sample",
        )
    dtype = next((p.dtype for p in tower.parameters() if p.is_floating_point()), torch.float32)
    if found.pooled.dtype != dtype:
        raise Fault(f"pooled is {found.pooled.dtype}, the weights are {dtype}.", "convert inputs, not outputs")
    if found.tokens is not None:
        _check_tokens(found, tower.width)
    return f"pooled {list(found.pooled.shape)}" + (
        "" if found.tokens is None else f", tokens {list(found.tokens.shape)}"
    )


def _check_tokens(found: Encoding, width: int) -> None:
    assert found.tokens is not None
    shape = list(found.tokens.shape)
    if len(shape) != 3 or shape[0] != ROWS or shape[2] != width:
        raise Fault(
            f"tokens have shape {shape}, not [{ROWS}, T, {width}].",
            "return tokens of the tower's width, or put them into `extra` under a name",
        )
    if found.mask is None:
        raise Fault("tokens come without a mask.", "return mask [B, T], True where a token is real")
    if found.mask.dtype != torch.bool or list(found.mask.shape) != shape[:2]:
        raise Fault(
            f"the mask is {found.mask.dtype} {list(found.mask.shape)}, not bool {shape[:2]}.",
            "return mask [B, T] of dtype bool, True where a token is real",
        )
    if not bool(found.mask.any(dim=1).all()):
        raise Fault("a row's mask has no real token.", "True means real; the mask may be inverted")


@check(TOWER)
def values_matter(subject: TowerSubject) -> None:
    """Different values get different embeddings."""
    pooled = subject.pooled
    spread = max(difference(pooled[row], pooled[0]) for row in range(1, ROWS))
    if spread < 1e-6:
        raise Fault(f"{ROWS} different values have the same embedding.", "check that forward uses its inputs")


@check(TOWER)
def output_is_finite(subject: TowerSubject) -> None:
    """Embeddings and gradients are finite, for ordinary values, the placeholder, and silence (all zeros)."""
    cases = {"ordinary values": subject.inputs(), "silence (all zeros)": _silenced(subject.inputs())}
    for label, inputs in cases.items():
        tower = subject.copy().eval()
        pooled = tower(inputs).pooled
        if not bool(torch.isfinite(pooled).all()):
            raise Fault(
                f"the embedding of {label} is not finite.", "guard divisions, logarithms and norms with an epsilon"
            )
        if pooled.requires_grad:
            pooled.sum().backward()
            bad = [n for n, p in tower.named_parameters() if p.grad is not None and not bool(p.grad.isfinite().all())]
            if bad:
                raise Fault(
                    f"the gradient of {label} is not finite at {_some(bad)}.",
                    "the slope of sqrt, log and norm at 0 is infinite: add the epsilon inside",
                )


def _silenced(inputs: Any) -> Any:
    return map_tensors(inputs, lambda x: torch.zeros_like(x) if x.is_floating_point() else x)


@check(TOWER)
def rows_are_independent(subject: TowerSubject) -> None:
    """The same value has the same embedding alone, in any batch, in any order, however the batch is padded."""
    pooled = subject.pooled
    order = list(range(ROWS))[::-1]
    turned = subject.encode(subject.inputs(order)).pooled
    mend = "mix nothing across axis 0: no batch statistics, no softmax or mean over rows, no padding in sums"
    require_close(turned, pooled[order], "embeddings depend on the order of the batch", mend)
    for row in range(ROWS):
        alone = subject.encode(subject.inputs([row])).pooled[0]
        require_close(alone, pooled[row], f"value {row} alone has another embedding than in a batch of {ROWS}", mend)
    twice = subject.encode(subject.inputs([0, 0, 1])).pooled
    require_close(twice[1], pooled[0], "a value has another embedding beside its copy", mend)


@check(TOWER)
def padding_is_ignored(subject: TowerSubject) -> str:
    """What stands in padded positions does not change the embedding."""
    inputs = subject.inputs()
    masks = {path: x for path, x in tensors(inputs) if x.dtype == torch.bool and x.ndim == 2 and not bool(x.all())}
    if not masks:
        raise NotApplicable("its inputs hold no padding (no bool [B, T] with False in it)")
    path, mask = next(iter(masks.items()))
    mask = mask if bool(mask.any(dim=1).all()) and mask.sum() else ~mask
    generator = torch.Generator().manual_seed(0)
    changed = map_tensors(cloned(inputs), lambda x: _scribble(x, mask, generator))
    if same(changed, inputs):
        raise NotApplicable("nothing in its inputs follows the mask")
    require_close(
        subject.encode(changed).pooled,
        subject.pooled,
        f"other values in the padding (False in inputs{path}) change the embedding",
        "leave padded positions out of attention, convolution edges, means and maxima",
    )
    return f"{int((~mask).sum())} padded positions"


def _scribble(x: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """Other values where the mask is False: numbers of the tensor's own range, ids that occur in it."""
    if x.dtype == torch.bool or x.ndim < 2:
        return x
    for real in (mask, _widened(x, mask)):  # a value per position, or several (samples per frame)
        if real is not None and tuple(x.shape[:2]) == tuple(real.shape):
            other = x[real].reshape(-1)
            pick = torch.randint(len(other), x.shape, generator=generator)
            fill = other[pick] if not x.is_floating_point() else other[pick] * 3 + 1
            return torch.where(real.reshape(*real.shape, *[1] * (x.ndim - 2)), x, fill)
    return x


def _widened(x: Tensor, mask: Tensor) -> Tensor | None:
    if x.shape[0] != mask.shape[0] or not mask.shape[1] or x.shape[1] % mask.shape[1]:
        return None
    return mask.repeat_interleave(x.shape[1] // mask.shape[1], dim=1)


@check(TOWER)
def gradient_reaches_every_parameter(subject: TowerSubject) -> str:
    """Every trainable parameter gets a gradient from `pooled`."""
    tower = subject.copy().train()
    pooled = tower(subject.inputs()).pooled
    learns = [n for n, p in tower.named_parameters() if p.requires_grad]
    if not learns:
        raise NotApplicable("it has no trainable parameter")
    if not pooled.requires_grad:
        raise Fault("pooled carries no gradient at all.", "remove no_grad, detach, .data or .numpy() from forward")
    weight = torch.linspace(0.5, 1.5, pooled.shape[1], dtype=pooled.dtype)
    (pooled * weight).square().sum().backward()
    parameters = dict(tower.named_parameters())
    dead = [n for n in learns if parameters[n].grad is None]
    if dead:
        raise Fault(
            f"{len(dead)} of {len(learns)} parameters get no gradient: {_some(dead)}.",
            "delete what forward does not use, or freeze it (requires_grad_(False))",
        )
    zero = [n for n in learns if not bool(parameters[n].grad.any())]  # type: ignore[union-attr]
    return f"{len(learns)} parameters" + (f", zero at {_some(zero)}" if zero else "")


@check(TOWER)
def training_differs_only_by_layers_that_say_so(subject: TowerSubject) -> str | None:
    """In train mode the embedding is that of eval mode, but for dropout and batch norm layers."""
    tower = subject.copy()
    found = difference(tower.train()(subject.inputs()).pooled.detach(), subject.pooled)
    if found <= 1e-3:
        return None
    layers = sorted({type(m).__name__ for m in tower.modules() if _changes_in_training(m)})
    if layers:
        return f"differs by {', '.join(layers)}"
    raise Fault(
        f"in train mode the embedding differs (by {found:.1e}), and no layer of the tower says why.",
        "use dropout or batch norm modules, move randomness into the processor, or exempt this check with the reason",
    )


def _changes_in_training(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.batchnorm._BatchNorm) or re.search("drop|mask", type(module).__name__.lower()):
        return True
    rates = [v for k, v in vars(module).items() if "drop" in k and isinstance(v, (int, float))]
    return any(0 < rate <= 1 for rate in rates)


@check(TOWER)
def evaluation_is_deterministic(subject: TowerSubject) -> None:
    """Two evaluations are equal bit for bit: no random crop, no dropout, no draw without a generator."""
    processor = subject.tower.processor
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            inputs = processor.collate([processor.load(value) for value in subject.values])
            pooled = subject.encode(inputs).pooled
        if not same(inputs, subject.inputs()):
            raise Fault(
                "the processor gives other inputs for the same values.",
                "without `rng` load must not draw: take the middle crop, the whole clip",
            )
        if not torch.equal(pooled, subject.pooled):
            raise Fault("the same inputs get other embeddings in eval mode.", "draw only when self.training")


@check(TOWER)
def inputs_are_left_alone(subject: TowerSubject) -> None:
    """Neither collate nor forward changes what it is given."""
    processor, before = subject.tower.processor, cloned(subject.inputs())
    inputs = cloned(before)
    subject.encode(inputs)
    if not same(inputs, before):
        changed = [p for (p, x), (_, y) in zip(tensors(inputs), tensors(before)) if not same(x, y)]
        raise Fault(
            f"forward changes its inputs: {', '.join('inputs' + p for p in changed)}.",
            "use operations without underscore, or clone first",
        )
    samples = [processor.load(value) for value in subject.values]
    kept = copy.deepcopy(samples)
    processor.collate(samples)
    if not same(samples, kept):
        raise Fault("collate changes its samples.", "copy them before changing (torch.stack copies)")


@check(TOWER)
def placeholder_runs(subject: TowerSubject) -> None:
    """One placeholder row runs in train mode: processes without rows use it."""
    processor = subject.tower.processor
    one, two = processor.placeholder(), processor.placeholder()
    if not same(one, two):
        raise Fault("placeholder() gives another sample each time.", "return zeros of a fixed shape")
    tower = subject.copy().train()
    with torch.no_grad(), batch_norm_in_eval(tower):
        found = tower(processor.collate([one])).pooled
    if list(found.shape) != [1, tower.width] or not bool(found.isfinite().all()):
        raise Fault(
            f"the placeholder's embedding is {list(found.shape)} and finite: {bool(found.isfinite().all())}.",
            "return a sample like those of load, however small",
        )


@check(TOWER)
def forward_takes_what_it_names(subject: TowerSubject) -> str | None:
    """`mask` and `layers`, where forward has them, have an effect or are refused; silence would hide a mistake."""
    names = inspect.signature(type(subject.tower).forward).parameters
    notes = [f"takes no {name}" for name in ("mask", "layers") if name not in names]
    if "layers" in names:
        try:
            depths = set(subject.encode(subject.inputs(), layers=(0,)).layers)
        except _REFUSALS:
            notes, depths = [*notes, "refuses layers"], {0}
        if depths != {0}:
            raise Fault(
                "layers=(0,) is accepted and not returned.", "return it, raise UserError, or leave `layers` out"
            )
    tokens = subject.whole.mask
    if "mask" in names and tokens is not None and tokens.shape[1] > 1:
        mask = torch.zeros_like(tokens)
        mask[:, 1] = True
        try:
            masked = subject.encode(subject.inputs(), mask=mask)
        except _REFUSALS:
            return ", ".join([*notes, "refuses mask"])
        kept = masked.pooled.shape == subject.pooled.shape and difference(masked.pooled, subject.pooled) < 1e-7
        if kept and masked.mask is not None and torch.equal(masked.mask, tokens):
            raise Fault("mask= is accepted and changes nothing.", "use it, raise UserError, or leave `mask` out")
    return ", ".join(notes) or None


@check(TOWER)
def layer_groups_are_real(subject: TowerSubject) -> str:
    """`layer_groups` names every parameter once (layer-wise decay) and modules that exist (FSDP, checkpointing)."""
    tower = subject.tower
    groups = tower.layer_groups()
    if not groups:
        return "one group"
    names = [name for name, _ in tower.named_parameters()]
    prefixes = [prefix for group in groups for prefix in group]
    for name in names:
        found = [p for p in prefixes if name == p or name.startswith(f"{p}.")]
        if len(found) != 1:
            raise Fault(
                f"parameter {name} is in {len(found)} layer groups{': ' + ', '.join(found) if found else ''}.",
                "name each parameter's module once, from the input to the output",
            )
    for group in groups:
        if not any(name == p or name.startswith(f"{p}.") for p in group for name in names):
            raise Fault(f"the layer group {group} names no parameter.", "use names of named_parameters() as prefixes")
    return f"{len(groups)} groups, {len(layer_modules(tower))} layers to wrap"


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
