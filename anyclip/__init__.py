"""anyclip trains joint embedding spaces for any set of modalities.

Importing this package is cheap: torch is loaded when a function that needs it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# public name -> module that defines it
_LAZY = {
    "load": "anyclip.api",
    "import_checkpoint": "anyclip.api",
    "Model": "anyclip.api",
    "create_tower": "anyclip.towers",
    "create_loss": "anyclip.losses",
    "Encoding": "anyclip.towers",
    "Tower": "anyclip.towers",
    "Processor": "anyclip.processors",
    "Loss": "anyclip.losses",
    "Similarity": "anyclip.similarities",
    "Objective": "anyclip.objectives",
    "Reader": "anyclip.readers",
    "Batch": "anyclip.data",
    "hookimpl": "anyclip.hookspecs",
    "UserError": "anyclip.errors",
    "BadSample": "anyclip.errors",
}

__all__ = ["__version__", *sorted(_LAZY)]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'anyclip' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from anyclip.api import Model, import_checkpoint, load
    from anyclip.data import Batch
    from anyclip.errors import BadSample, UserError
    from anyclip.hookspecs import hookimpl
    from anyclip.losses import Loss, create_loss
    from anyclip.objectives import Objective
    from anyclip.processors import Processor
    from anyclip.readers import Reader
    from anyclip.similarities import Similarity
    from anyclip.towers import Encoding, Tower, create_tower
