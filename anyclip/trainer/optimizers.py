"""The optimizer, its state by parameter name, and gradient norms: the same under any number of processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from anyclip.checkpoint.tensors import full, shard_like
from anyclip.config.schema import OptimizerConfig
from anyclip.errors import CheckpointError, UserError


def create_optimizer(groups: list[dict[str, Any]], config: OptimizerConfig, *, fused: bool = True) -> Optimizer:
    """adamw and adam (fused) and sgd of torch, lion and lamb of timm. Clipping is the trainer's, never the optimizer's.

    Raises UserError when lion or lamb is asked for without timm.
    """
    betas = (config.betas[0], config.betas[1])
    if config.name in ("adamw", "adam"):
        cls = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
        return cls(groups, lr=config.lr, betas=betas, eps=config.eps, fused=fused)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
    if find_spec("timm") is None:
        raise UserError(
            f"{config.name} comes from timm, which is not installed.",
            where="optimizer.name",
            hint="Or choose adamw, adam or sgd.",
            next="pip install timm",
        )
    optim = import_module("timm.optim")
    if config.name == "lion":
        return optim.Lion(groups, lr=config.lr, betas=betas)
    return optim.Lamb(groups, lr=config.lr, betas=betas, eps=config.eps, max_grad_norm=None)


def set_rate(optimizer: Optimizer, lr: float) -> None:
    """Set each group's rate: `lr` times the group's own scale."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Euclidean norm of all gradients together (scalar); of the whole gradient where it is sharded."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return full(torch.nn.utils.get_total_norm(gradients))


def clip_gradients(parameters: Iterable[nn.Parameter], norm: Tensor, limit: float) -> None:
    """Scale all gradients by one factor so that their norm, which is `norm` now, is at most `limit`."""
    factor = (limit / (norm + 1e-6)).clamp(max=1.0)
    for parameter in parameters:
        if parameter.grad is not None:
            local = getattr(parameter.grad, "to_local", lambda gradient=parameter.grad: gradient)()
            local.mul_(factor.to(local.device))


_OURS = frozenset({"params", "names", "lr_scale"})  # keys of a group that its config gives, beside the defaults


def optimizer_state(optimizer: Optimizer, *, keep: bool = True) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """(tensors, plain counters per group) of the whole state; sharded tensors are gathered.

    Tensors are named `PARAMETER//KEY`, those of group i `#i//KEY`. A collective call when sharded; processes with
    `keep=False` get no tensors.
    """
    tensors: dict[str, Tensor] = {}
    counters: list[dict[str, Any]] = []
    for i, group in enumerate(optimizer.param_groups):
        for name, parameter in zip(group["names"], group["params"]):
            for key, value in sorted(optimizer.state.get(parameter, {}).items()):
                if value is None:  # sgd without momentum
                    continue
                whole = full(value.detach()) if isinstance(value, Tensor) else torch.tensor(value)
                if keep:
                    tensors[f"{name}//{key}"] = whole.cpu()
        own = {k: v for k, v in group.items() if k not in optimizer.defaults and k not in _OURS}
        tensors |= {f"#{i}//{k}": v.detach().cpu() for k, v in own.items() if isinstance(v, Tensor) and keep}
        counters.append({k: v for k, v in own.items() if isinstance(v, (int, float))})
    return tensors, counters


def load_optimizer_state(
    optimizer: Optimizer, tensors: Mapping[str, Tensor], counters: list[dict[str, Any]], *, where: str
) -> None:
    """Put back what `optimizer_state` gave, on any number of processes.

    Raises CheckpointError naming parameters that the state has and the run does not train.
    """
    by_name = {n: p for g in optimizer.param_groups for n, p in zip(g["names"], g["params"])}
    groups = {f"#{i}": group for i, group in enumerate(optimizer.param_groups)}
    unknown = sorted({key.rpartition("//")[0] for key in tensors} - set(by_name) - set(groups))
    if unknown or len(counters) != len(groups):
        raise CheckpointError("the optimizer state is of other parameters: " + ", ".join(unknown[:5]), where=where)
    for key, mapped in tensors.items():
        name, _, field = key.rpartition("//")
        value = mapped.clone()  # a loaded tensor is a view of the file, which will be deleted while the run goes on
        if name in groups:
            groups[name][field] = value
            continue
        parameter = by_name[name]
        if value.shape == parameter.shape:
            value = shard_like(value.to(parameter.device), parameter)
        elif optimizer.defaults.get("fused"):  # fused kernels keep their step counters beside the parameter
            value = value.to(parameter.device)
        optimizer.state[parameter][field] = value
    for group, values in zip(optimizer.param_groups, counters):
        group.update(values)
