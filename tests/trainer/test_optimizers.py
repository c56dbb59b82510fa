"""Optimizers, their saved state, gradient norms and the weight average, on numbers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from anyclip.checkpoint import load_tensors, save_tensors
from anyclip.checkpoint.tensors import load_into
from anyclip.config.schema import OptimizerConfig
from anyclip.errors import CheckpointError
from anyclip.trainer.ema import Ema
from anyclip.trainer.groups import build_groups
from anyclip.trainer.optimizers import (
    clip_gradients,
    create_optimizer,
    gradient_norm,
    load_optimizer_state,
    optimizer_state,
)

NAMES = ["adamw", "adam", "sgd", "lion", "lamb"]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))


def build(model: nn.Module, name: str):
    config = OptimizerConfig(name=name, lr=0.01, weight_decay=0.1)
    return create_optimizer(build_groups(dict(model.named_parameters()), {}, config), config)


def step(model: nn.Module, optimizer, seed: int) -> None:
    optimizer.zero_grad()
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(seed))
    model(x).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("name", NAMES)
def test_state_comes_back_from_a_safetensors_file_bit_for_bit(name, tmp_path):
    model = net()
    optimizer = build(model, name)
    for seed in range(3):
        step(model, optimizer, seed)
    tensors, counters = optimizer_state(optimizer)
    save_tensors(tensors, tmp_path / "optimizer.safetensors")
    twin = copy.deepcopy(model)
    other = build(twin, name)
    load_optimizer_state(other, load_tensors(tmp_path / "optimizer.safetensors"), counters, where="here")
    for seed in range(3, 6):
        step(model, optimizer, seed)
        step(twin, other, seed)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters()))


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_optimizer_without_its_state_would_differ(name):
    """The test above can fail: the state matters for every optimizer."""
    model = net()
    optimizer = build(model, name)
    for seed in range(3):
        step(model, optimizer, seed)
    twin = copy.deepcopy(model)
    other = build(twin, name)
    step(model, optimizer, 3)
    step(twin, other, 3)
    assert not all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters()))


def test_state_of_other_parameters_is_refused():
    optimizer = build(net(), "adamw")
    _, counters = optimizer_state(optimizer)
    with pytest.raises(CheckpointError, match=r"other parameters: gone\.weight"):
        load_optimizer_state(optimizer, {"gone.weight//exp_avg": torch.zeros(2)}, counters, where="here")


def test_gradients_are_clipped_by_their_common_norm():
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    a.grad, b.grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])
    norm = gradient_norm([a, b, nn.Parameter(torch.zeros(3))])
    assert norm.item() == 5.0
    clip_gradients([a, b], norm, 10.0)
    assert a.grad.tolist() == [3.0, 0.0]
    clip_gradients([a, b], norm, 1.0)
    assert torch.cat([a.grad, b.grad]).tolist() == pytest.approx([0.6, 0.0, 0.8], abs=1e-6)


def test_the_average_follows_its_formula_and_leaves_frozen_weights_alone():
    model = nn.Linear(1, 1)
    model.bias.requires_grad_(False)
    nn.init.zeros_(model.weight)
    ema = Ema(model, 0.9)
    expected = 0.0
    for step_number in range(200):
        with torch.no_grad():
            model.weight.fill_(float(step_number))
        ema.update(step_number)
        decay = min(0.9, (1 + step_number) / (10 + step_number))
        expected = decay * expected + (1 - decay) * step_number
    with ema.applied():
        assert model.weight.item() == pytest.approx(expected, rel=1e-5)
    assert model.weight.item() == 199.0
    assert ema.state()["bias"].item() == model.bias.item()


def test_the_average_comes_back_from_a_file(tmp_path):
    model = net()
    ema = Ema(model, 0.5)
    with torch.no_grad():
        model[0].weight.add_(1.0)
    ema.update(50)
    save_tensors(ema.state(), tmp_path / "ema.safetensors")
    other = net()
    again = Ema(other, 0.5)
    again.load(load_tensors(tmp_path / "ema.safetensors"))
    with ema.applied(), again.applied():
        assert torch.equal(model[0].weight, other[0].weight)


def test_a_shared_weight_has_one_average(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    ema = Ema(model, 0.5)
    with torch.no_grad():
        model[0].weight.zero_()
    ema.update(50)
    save_tensors(ema.state(), tmp_path / "ema.safetensors")
    state = load_tensors(tmp_path / "ema.safetensors")
    assert state["0.weight"].abs().sum() > 0
    assert torch.equal(state["0.weight"], state["1.weight"])
    load_into(model, state, where="file")
