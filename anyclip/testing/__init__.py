"""Aids for the tests of anyclip and of plugins.

`TowerContract`, `LossContract`, `ReaderContract`, `ModalityContract`: pytest classes with every check of the kit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anyclip.testing.contracts import LossContract, ModalityContract, ReaderContract, TowerContract

__all__ = ["LossContract", "ModalityContract", "ReaderContract", "TowerContract"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from anyclip.testing import contracts  # needs pytest, which users of a plugin need not have

        return getattr(contracts, name)
    raise AttributeError(f"module 'anyclip.testing' has no attribute {name!r}")
