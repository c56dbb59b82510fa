"""Build a loss by its registry name."""

from __future__ import annotations

from typing import Any

from anyclip.losses.base import Loss
from anyclip.registry import get_registry
from anyclip.specs import LossSpec


def create_loss(name: str, **options: Any) -> Loss:
    """A registered loss: `create_loss("infonce", label_smoothing=0.1)(a, b)` on two [N, E] tensors gives the scalar.

    Raises PluginError for an unknown name and ConfigError for an option that is unknown or out of range.
    """
    registry = get_registry()
    built = registry.build_options("loss", name, options)
    cls = registry.load("loss", name)
    loss = cls(built) if built is not None else cls()
    spec = registry.spec("loss", name)
    assert isinstance(spec, LossSpec)
    loss.default_scale = spec.scale.init
    loss.default_bias = spec.bias.init if spec.bias is not None else None
    return loss
