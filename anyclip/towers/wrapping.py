"""For towers around a whole model: layers on request, layer groups, windows, and assets as one JSON file."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from anyclip.errors import CheckpointError, UserError


@contextlib.contextmanager
def recorded(model: nn.Module, blocks: Sequence[str], depths: Sequence[int], what: str) -> Iterator[dict[int, Any]]:
    """The outputs of some blocks while the context is open, by the depth that was asked (negative: from the end).

    blocks: module names inside `model`, from input to output. what: names the tower in the UserError for a depth that
    it does not have. Raises UserError.
    """
    found: dict[int, Any] = {}
    handles = []
    try:
        for depth in depths:
            if not -len(blocks) <= depth < len(blocks):
                raise UserError(f"layer {depth} is asked, but this {what} tower has {len(blocks)} blocks.")
            handles.append(model.get_submodule(blocks[depth]).register_forward_hook(_Keep(found, depth)))
        yield found
    finally:
        for handle in handles:
            handle.remove()


class _Keep:
    """Forward hook that keeps a block's output."""

    def __init__(self, found: dict[int, Any], depth: int):
        self.found, self.depth = found, depth

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        self.found[self.depth] = output


def grouped_by_block(
    tower: nn.Module, blocks: Sequence[str], *, tail: str = "$^", in_order: bool = True
) -> list[list[str]]:
    """Names of the parameters before the blocks, each block, and the names behind: what `Tower.layer_groups` returns.

    blocks: module names inside the tower. tail: regular expression of the parameters that belong behind the last block,
    or None: those registered after it. Empty where no block has a parameter.
    """
    names = [name for name, _ in tower.named_parameters()]
    owner = [next((b for b in blocks if n == b or n.startswith(f"{b}.")), None) for n in names]
    inside = [i for i, block in enumerate(owner) if block]
    if not inside:
        return []
    first, last = [], []
    for i, name in enumerate(names):
        if owner[i] is None:
            behind = (in_order and i > inside[-1]) or re.match(tail, name)
            (last if behind else first).append(name)
    return [group for group in (first, *([block] for block in blocks if block in owner), last) if group]


def write_assets(folder: Path, name: str, values: Mapping[str, Any]) -> None:
    """One JSON file `folder/name`, keys sorted."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_assets(folder: Path | None, name: str, library: str, **parts: Any) -> dict[str, Any] | None:
    """What `write_assets` wrote, or None when there is no such file.

    library: the value of the key `library` that the file must hold. parts: key -> function that makes the value from
    its JSON; only these keys are returned. Raises CheckpointError for another library's file and for a damaged one.
    """
    if folder is None or not (Path(folder) / name).is_file():
        return None
    path = Path(folder) / name
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        if saved["library"] != library:
            raise CheckpointError(f"holds a {saved['library']} tower, the config asks for {library}.", where=str(path))
        return {key: make(saved[key]) for key, make in parts.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"is damaged: {error!r}", where=str(path)) from error


def mean_of_windows(pooled: Tensor, windows: Tensor) -> Tensor:
    """Several windows of one value: [C, W] of the windows that are there, in row order -> their means [B, W].

    windows: bool [B, N], which of each row's windows are there.
    """
    rows = windows.nonzero()[:, 0]
    sums = pooled.new_zeros(len(windows), pooled.shape[1]).index_add(0, rows, pooled)
    return sums / windows.sum(dim=1, keepdim=True).to(pooled.dtype)
