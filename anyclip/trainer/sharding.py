"""FSDP2 over all processes, in a way that evaluations can use the model too."""

from __future__ import annotations

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from anyclip.step import Step
from anyclip.step.sharding import shard as shard_step


def shard(step: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Shard every parameter of a Step over all processes.

    Projections become units of their own, like towers: an evaluation calls both without the training step around
    them. `mesh` is only asked for its device: Fabric splits it into two axes, here one holds every process.
    """
    from torch.distributed.fsdp import fully_shard

    assert isinstance(step, Step)
    flat = init_device_mesh(mesh.device_type, (torch.distributed.get_world_size(),))
    for projection in step.model.projections.values():
        if next(projection.parameters(), None) is not None:
            fully_shard(projection, mesh=flat)
    return shard_step(step, flat)
