"""Sharding a step whose towers share a tower inside them."""

from __future__ import annotations

import pytest
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule

from anyclip.model import JointModel
from anyclip.objectives.build import Objectives
from anyclip.step import Step
from anyclip.step.sharding import shard
from anyclip.towers import Encoding, Tower


class Inner(Tower):
    modality, width = "toy", 8

    def __init__(self):
        super().__init__()
        self.first, self.blocks = nn.Linear(8, 8), nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])

    def forward(self, inputs, **_):
        x = self.first(inputs)
        for block in self.blocks:
            x = block(x).tanh()
        return Encoding(pooled=x)

    def layer_groups(self):
        return [["first"], ["blocks.0"], ["blocks.1"]]


class Outer(Tower):
    modality, width = "toy", 8

    def __init__(self, inner):
        super().__init__()
        self.inner, self.head = inner, nn.Linear(8, 8)

    def forward(self, inputs, **_):
        return Encoding(pooled=self.head(self.inner(inputs).pooled))

    def layer_groups(self):
        return [*[[f"inner.{name}" for name in group] for group in self.inner.layer_groups()], ["head"]]


class Vectors(Step):
    """Only encodes."""

    def forward(self, x):
        return {name: self.model.encode(name, x).pooled for name in self.model.streams}


@pytest.fixture
def alone(tmp_path):
    """A group of one process."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def test_a_tower_inside_two_others_is_sharded_once_and_gathered_by_both(alone):
    torch.manual_seed(0)
    inner = Inner()
    towers = {"a": Outer(inner), "b": Outer(inner)}
    model = JointModel(8, towers, {name: nn.Identity() for name in towers})
    x = torch.randn(3, 8)
    want = {name: tower(x).pooled.detach() for name, tower in towers.items()}
    step = Vectors(model, Objectives([], names=[]))
    shard(step, alone)
    units = [name for name, module in step.named_modules() if isinstance(module, FSDPModule)]
    assert {"model.towers.a.inner", "model.towers.a.inner.blocks.0", "model.towers.b"} <= set(units)
    found = step(x)
    torch.testing.assert_close(found, want)
    sum(vector.sum() for vector in found.values()).backward()
    assert all(p.grad is not None for p in model.parameters())
