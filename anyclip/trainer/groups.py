"""Which parameter learns how fast: regex groups, layer-wise decay, no weight decay on parameters of one axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from anyclip.config.schema import GroupConfig, OptimizerConfig
from anyclip.errors import UserError
from anyclip.model.freezing import matching
from anyclip.towers import Tower


def named_parameters(model: nn.Module, objectives: nn.Module) -> dict[str, nn.Parameter]:
    """Every parameter once: the model's names (`towers.NAME...`), the objectives' under `objectives.`."""
    named = dict(model.named_parameters())
    seen = {id(p) for p in named.values()}
    extra = {f"objectives.{n}": p for n, p in objectives.named_parameters() if id(p) not in seen}
    return {**named, **extra}


def match_groups(names: list[str], groups: list[GroupConfig]) -> dict[str, GroupConfig]:
    """Parameter name -> its group; the first match wins.

    Raises UserError for an expression that is not valid, matches nothing, or only what earlier groups have.
    """
    taken: dict[str, GroupConfig] = {}
    for i, group in enumerate(groups):
        where = f"optimizer.groups.{i}.match"
        matched = matching(group.match, names, where=where)
        new = [n for n in matched if n not in taken]
        if not new:
            raise UserError(
                f"every parameter that {group.match!r} matches belongs to an earlier group.",
                where=where,
                hint="The first match wins: put the narrower expression first.",
            )
        taken.update(dict.fromkeys(new, group))
    return taken


def freeze_groups(parameters: Mapping[str, nn.Parameter], groups: list[GroupConfig]) -> None:
    """Take the parameters of groups with `freeze: true` out of training (before any wrapping)."""
    for name, group in match_groups(list(parameters), groups).items():
        if group.freeze:
            parameters[name].requires_grad_(False)


def layer_scales(towers: Mapping[str, nn.Module], decay: float) -> dict[str, float]:
    """Parameter name -> rate factor: the last group of a tower learns at `decay`, the one before at `decay` squared.

    What comes after a tower (projection, objectives) keeps the full rate. A tower's parameters that its
    `layer_groups` do not name belong to the last group (BEiT, arXiv:2106.08254, appendix: layer-wise decay).
    """
    scales = {}
    for key, tower in towers.items():
        groups = tower.layer_groups() if isinstance(tower, Tower) else []
        for name, _ in tower.named_parameters():
            depth = next((i for i, ps in enumerate(groups) if any(_under(name, p) for p in ps)), len(groups) - 1)
            scales[f"towers.{key}.{name}"] = decay ** max(1, len(groups) - depth)
    return scales


def _under(name: str, prefix: str) -> bool:
    prefix = prefix.rstrip(".")
    return name == prefix or name.startswith(prefix + ".")


def build_groups(
    parameters: Mapping[str, nn.Parameter], towers: Mapping[str, nn.Module], config: OptimizerConfig
) -> list[dict[str, Any]]:
    """Parameter groups of the optimizer: `params`, `names`, `lr_scale`, `lr`, `weight_decay`.

    Raises UserError when nothing is left to train.
    """
    matched = match_groups(list(parameters), config.groups)
    scales = layer_scales(towers, config.layer_decay) if config.layer_decay is not None else {}
    found: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in parameters.items():
        if not parameter.requires_grad:
            continue
        group = matched.get(name)
        scale = (group.lr_scale if group else 1.0) * scales.get(name, 1.0)
        decay = config.weight_decay if group is None or group.weight_decay is None else group.weight_decay
        decay = decay if parameter.ndim > 1 else 0.0
        entry = found.setdefault(
            (scale, decay),
            {"params": [], "names": [], "lr_scale": scale, "lr": config.lr * scale, "weight_decay": decay},
        )
        entry["params"].append(parameter)
        entry["names"].append(name)
    if not found:
        raise UserError("nothing is trainable: every parameter is frozen.", hint="Look at `freeze` and `groups`.")
    return list(found.values())
