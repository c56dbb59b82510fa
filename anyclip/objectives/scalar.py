"""An edge's scale and bias: `[1]` parameters with a first value and a clamp."""

from __future__ import annotations

import math

import torch
from torch import nn

from anyclip.config.schema import ScaleConfig
from anyclip.errors import UserError
from anyclip.specs import Scalar


def settle(config: ScaleConfig | None, default: Scalar | None) -> Scalar | None:
    """The loss's default with what the config says instead; None: the edge has no such scalar."""
    if config is None:
        return default
    base = default or Scalar(init=0.0)
    return Scalar(
        init=base.init if config.init is None else config.init,
        learn=config.learn,
        max=base.max if config.max is None else config.max,
    )


def log_scale(scalar: Scalar, *, where: str) -> nn.Parameter:
    """The logarithm of a scale, [1]: it learns in ratios, as in CLIP. Raises UserError unless 0 < init <= max."""
    if scalar.init <= 0:
        raise UserError(f"a scale must be positive, not {scalar.init:g}.", where=where)
    if scalar.max is not None and scalar.init > scalar.max:
        raise UserError(f"the scale begins at {scalar.init:g}, above its max {scalar.max:g}.", where=where)
    return nn.Parameter(torch.tensor([math.log(scalar.init)]), requires_grad=scalar.learn)


def bias(scalar: Scalar) -> nn.Parameter:
    return nn.Parameter(torch.tensor([float(scalar.init)]), requires_grad=scalar.learn)


def clamp_(parameter: nn.Parameter, maximum: float) -> None:
    """Clamp in place; a sharded parameter on the process that holds it."""
    with torch.no_grad():
        local = parameter.to_local() if hasattr(parameter, "to_local") else parameter  # type: ignore[operator]
        local.clamp_(max=maximum)
