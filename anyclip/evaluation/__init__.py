"""Evaluations measure a trained model; they run during training and by `anyclip eval`.

Their options are read without torch, so the rest is imported when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anyclip.evaluation.base import Evaluation, Result
    from anyclip.evaluation.run import load_results, run_evaluations, save_results

__all__ = ["Evaluation", "Result", "load_results", "run_evaluations", "save_results"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'base' if name in ('Evaluation', 'Result') else 'run'}"), name)
