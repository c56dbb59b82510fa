"""Similarities score a pair of streams. Options are read without torch: classes are imported when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anyclip.similarities.base import Prepared, Similarity, create_similarity

__all__ = ["Prepared", "Similarity", "create_similarity"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from anyclip.similarities import base

        return getattr(base, name)
    raise AttributeError(name)
