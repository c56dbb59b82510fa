"""Options in a module that loads torch: a fault."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(kw_only=True)
class Options:
    width: int = 6
    """Width of the output."""

    def tensor(self) -> torch.Tensor:
        return torch.zeros(self.width)
