"""Published names of the adapters' tensors -> ours."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_GLOBAL = {
    "fusion_ratio": "seen.ratio",
    "global_f.0.bn.": "seen.view_norm.",
    "global_f.3.": "seen.mix.",
    "global_f.4.": "seen.norm.",
}
INTER_VIEW = {**_GLOBAL, "view_f.0.": "deepen.", "view_f.2.": "spread."}
"""PointCLIP's inter-view adapter."""
SIMPLIFIED = {**_GLOBAL, "global_f.7.": "out."}
"""One path of CLIP2Point's dual-path adapter."""


def renamed(state: Mapping[str, Tensor], table: Mapping[str, str], new: str) -> dict[str, Tensor]:
    """The state under our names, each with `new` before it; a name that the table does not know stays as it is."""
    found = {}
    for name, tensor in state.items():
        old = next((old for old in table if name.startswith(old)), None)
        found[name if old is None else new + table[old] + name[len(old) :]] = tensor
    return found
