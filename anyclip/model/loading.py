"""A tower's first weights from a state dict (the `init` key of a stream)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from anyclip.errors import CheckpointError
from anyclip.model.joint import JointModel
from anyclip.model.lora import plain_names
from anyclip.model.sharing import aliases


def load_tower_state(model: JointModel, stream: str, state: Mapping[str, Tensor], *, where: str | None = None) -> None:
    """Copy weights into the tower of `stream`; the projection keeps its own.

    state: names of a JointModel (`towers.<stream>.*`; others are passed over), or the tower's own names.
    Raises CheckpointError that lists tensors which are missing, unexpected or of another shape.
    """
    prefixes = [f"towers.{name}." for name in (stream, model.tower_of[model.resolve(stream)])]
    prefix = next((p for p in prefixes if any(name.startswith(p) for name in state)), "")
    if not prefix and any(name.startswith("towers.") for name in state):
        held = sorted({name.split(".")[1] for name in state if name.startswith("towers.")})
        raise CheckpointError(f"holds no tower {stream!r}.", where=where, hint=f"It holds: {', '.join(held)}.")
    tower = model.tower(stream)
    if prefix:  # a model's state holds shared tensors once, under their first name
        state = {**{name: state[first] for name, first in aliases(model).items() if first in state}, **state}
    given = {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
    given |= {name: given[first] for name, first in aliases(tower).items() if name not in given and first in given}
    own = tower.state_dict()
    if any(".lora_" in name for name in own) and not any(".lora_" in name for name in given):  # a plain tower's weights
        now = plain_names(own)
        given = {now.get(name, name): tensor for name, tensor in given.items()}
        own = {name: tensor for name, tensor in own.items() if ".lora_" not in name}
    _check(own, given, f"the tower of {stream!r}", where)
    tower.load_state_dict({**tower.state_dict(), **given})


def load_projection_state(
    model: JointModel, stream: str, state: Mapping[str, Tensor], *, where: str | None = None
) -> None:
    """Copy weights into the projection of `stream`; state: names of a JointModel. Raises CheckpointError."""
    names = (stream, model.projection_of[model.resolve(stream)])
    prefix = next((f"projections.{n}." for n in names if any(k.startswith(f"projections.{n}.") for k in state)), None)
    projection = model.projection(stream)
    own = projection.state_dict()
    if prefix is None and own:
        held = sorted({name.split(".")[1] for name in state if name.startswith("projections.")})
        raise CheckpointError(
            f"holds no projection {stream!r}.", where=where, hint=f"It holds: {', '.join(held) or 'none'}."
        )
    given = {k[len(prefix) :]: v for k, v in state.items() if prefix is not None and k.startswith(prefix)}
    _check(own, given, f"the projection of {stream!r}", where)
    projection.load_state_dict(given)


def _check(own: Mapping[str, Tensor], given: Mapping[str, Tensor], what: str, where: str | None) -> None:
    both = [name for name in own if name in given]
    shapes = [f"{n} {list(given[n].shape)} for {list(own[n].shape)}" for n in both if given[n].shape != own[n].shape]
    problems = [
        ("missing", sorted(set(own) - set(given))),
        ("unexpected", sorted(set(given) - set(own))),
        ("of another shape", shapes),
    ]
    if any(names for _, names in problems):
        text = "; ".join(f"{kind}: {_some(names)}" for kind, names in problems if names)
        raise CheckpointError(f"does not fit {what}: {text}.", where=where)


def _some(names: list[str], limit: int = 20) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
