"""Cut a Step into pieces for FSDP2, so that no process holds all weights at once."""

from __future__ import annotations

from typing import Any

from torch import nn

from anyclip.model.checkpointing import layer_modules
from anyclip.step.module import Step
from anyclip.towers import Tower


def shard(step: nn.Module, mesh: Any, **options: Any) -> nn.Module:
    """Shard layers, towers (those inside others too), then the rest: a `parallelize_fn` of `ModelParallelStrategy`.

    mesh: a device mesh; the dimension `data_parallel` where it has several. options: as `fully_shard` takes them
    (`mp_policy`, `offload_policy`).
    """
    from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

    if mesh.mesh_dim_names and "data_parallel" in mesh.mesh_dim_names:
        mesh = mesh["data_parallel"]
    assert isinstance(step, Step)
    found = [m for tower in step.model.towers.values() for m in reversed(list(tower.modules())) if isinstance(m, Tower)]
    for tower in dict.fromkeys(found):  # inner towers first: another tower may share and call them
        for layer in layer_modules(tower):
            if any(True for _ in layer.parameters()) and not isinstance(layer, FSDPModule):
                fully_shard(layer, mesh=mesh, **options)
        fully_shard(tower, mesh=mesh, **options)
        register_fsdp_forward_method(tower, "forward_embeds")  # another way in: it must gather the weights too
    fully_shard(step, mesh=mesh, **options)
    return step
