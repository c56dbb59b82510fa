"""Losses turn a pair's scores into a number. Options are read without torch: classes are imported when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anyclip.losses.base import Loss
    from anyclip.losses.create import create_loss

__all__ = ["Loss", "create_loss"]


def __getattr__(name: str) -> Any:
    if name == "Loss":
        from anyclip.losses.base import Loss

        return Loss
    if name == "create_loss":
        from anyclip.losses.create import create_loss

        return create_loss
    raise AttributeError(name)
