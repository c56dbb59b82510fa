"""Losses turn a pair's scores into a number."""

from anyclip.losses.base import Loss, create_loss

__all__ = ["Loss", "create_loss"]
