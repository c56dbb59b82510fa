"""Turn a published checkpoint into a model: run the registered importer, build, load strictly, save.

An importer is a function `(state, *, name, source, **options) -> Imported` that a plugin registers with an
`ImporterSpec`. `state` are the file's tensors, `source` its path (None for a state dict in memory), `name` the
published variant where the tensors do not tell, `options` the validated options of the spec.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from anyclip.checkpoint.reading import read_state, unwrap
from anyclip.checkpoint.saving import save_model_folder
from anyclip.config import config_from_dict
from anyclip.errors import CheckpointError, nearest
from anyclip.registry import get_registry

if TYPE_CHECKING:
    from anyclip.config import Config
    from anyclip.model import JointModel

_LISTED = 12


@dataclass(frozen=True)
class Imported:
    """What an importer makes of a checkpoint.

    config: content of a config file: `model` with its towers, and `objectives` whose edge carries scale and bias.
    state: tensors under the names of the JointModel (`towers.<stream>.model...`, `projections.<stream>...`).
    assets: stream -> function that writes files of its tower (a tokenizer) into a folder.
    objectives: tensors of what the pairs learn beside their scales (a similarity with weights), under the names of
        `Objectives`: `0.similarity.whole`. All that the config's objectives have, or none.
    """

    config: dict[str, Any]
    state: dict[str, Tensor]
    assets: dict[str, Callable[[Path], None]] = field(default_factory=dict)
    objectives: dict[str, Tensor] = field(default_factory=dict)


def import_checkpoint_file(
    layout: str,
    source: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    name: str | None = None,
    options: dict[str, Any] | None = None,
) -> tuple[JointModel, Config]:
    """The model of a published checkpoint in eval mode, and its config; with `out` also written as a model folder.

    layout: a registered importer, such as `openai-clip`. source: a file or folder, or a state dict. name, options: see
    the importer. Raises CheckpointError: unreadable, unsafe, or tensors missing, unexpected or misshapen (listed).
    """
    from anyclip.model import build_model
    from anyclip.objectives import build_objectives

    registry = get_registry()
    importer = registry.load("importer", layout)
    built = registry.build_options("importer", layout, options)
    path = None if isinstance(source, Mapping) else Path(source)
    where = str(path) if path is not None else layout
    state = unwrap(source, where=where) if path is None else read_state(path)
    imported: Imported = importer(state, name=name, source=path, **(vars(built) if built is not None else {}))
    config = config_from_dict(imported.config)
    with tempfile.TemporaryDirectory(prefix="anyclip-import-") as folder:
        for stream, write in imported.assets.items():
            (Path(folder) / stream).mkdir()
            write(Path(folder) / stream)
        model = build_model(config.model, assets=Path(folder), load_weights=False).eval()
        load_exactly(model, imported.state, where=where)
        objectives = build_objectives(config, model) if imported.objectives else None
        if objectives is not None:
            scales = {n: x for n, x in objectives.state_dict().items() if n.endswith((".log_scale", ".bias"))}
            load_exactly(objectives, {**scales, **imported.objectives}, where=where)
        if out is not None:
            save_model_folder(out, model, config, objectives=objectives)
    return model, config


def load_exactly(module: nn.Module, state: Mapping[str, Tensor], *, where: str) -> None:
    """Load a complete state. Values stay as they are; half precision is widened, which is exact.

    Raises CheckpointError that counts and lists what is missing, unexpected or of another shape, with nearest names.
    """
    own = module.state_dict()
    counters = [n for n in own if n.endswith("num_batches_tracked")]  # old files lack these; they start at 0
    missing = [n for n in own if n not in state and n not in counters]
    unexpected = [n for n in state if n not in own]
    shapes = [n for n in own if n in state and own[n].shape != state[n].shape]
    narrowed = [n for n in own if n in state and not torch.can_cast(state[n].dtype, own[n].dtype)]
    problems = []
    if missing:
        problems.append(f"{len(missing)} of {len(own)} tensors are missing:\n{_listed(missing, unexpected)}")
    if unexpected:
        problems.append(f"{len(unexpected)} tensors are unexpected:\n{_listed(unexpected, missing)}")
    if shapes:
        lines = [f"{n}: {list(state[n].shape)} in the file, {list(own[n].shape)} in the model" for n in shapes]
        problems.append(f"{len(shapes)} tensors have another shape:\n{_listed(lines, ())}")
    if narrowed:
        problems.append(f"{len(narrowed)} tensors would lose their type:\n{_listed(narrowed, ())}")
    if problems:
        raise CheckpointError("the checkpoint does not fit the model: " + "\n".join(problems), where=where)
    with torch.no_grad():
        for key, value in own.items():
            if key in state:
                value.copy_(state[key])


def _listed(names: list[str], others: Iterable[str]) -> str:
    others = list(others)
    lines = []
    for name in names[:_LISTED]:
        close = nearest(name, others) if 0 < len(others) <= 2000 else None
        lines.append(f"  {name}" + (f" (nearest: {close})" if close else ""))
    if len(names) > _LISTED:
        lines.append(f"  and {len(names) - _LISTED} more")
    return "\n".join(lines)


def scale_of(log_scale: Tensor) -> float:
    """A stored log scale -> the value that multiplies, computed in float64."""
    return math.exp(log_scale.double().reshape(()).item())


def prefixed(state: Mapping[str, Tensor], old: str, new: str, *, drop: Iterable[str] = ()) -> dict[str, Tensor]:
    """Tensors whose name begins with `old`, renamed to begin with `new`; names that end as `drop` says are left out."""
    drop = tuple(drop)
    return {
        new + name[len(old) :]: tensor
        for name, tensor in state.items()
        if name.startswith(old) and not (drop and name.endswith(drop))
    }


def folder_of(source: Path | None) -> Path | None:
    """The folder of a checkpoint, where its config and tokenizer may lie."""
    if source is None:
        return None
    return source if source.is_dir() else source.parent


def read_json(source: Path | None, name: str) -> dict[str, Any]:
    """A JSON file beside the weights; {} when it is not there."""
    folder = folder_of(source)
    if folder is None or not (folder / name).is_file():
        return {}
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"is no valid JSON: {error}.", where=str(folder / name)) from error


@contextmanager
def reading_layout(layout: str, *, where: str) -> Iterator[None]:
    """Inside the block, a tensor that is looked up and not there means that the file is of another layout."""
    try:
        yield
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(
            f"is not the layout of {layout}: it lacks or misshapes {error}.",
            where=where,
            next="anyclip plugins",
        ) from error
