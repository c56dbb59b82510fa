"""The layers from a tower's width to the joint width."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from anyclip.config.schema import ProjectionConfig
from anyclip.projections import MLP, build_projection

X = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))


def test_mlp_with_either_activation():
    outs = {}
    for kind, function in (("gelu", F.gelu), ("relu", F.relu)):
        torch.manual_seed(1)
        mlp = build_projection(ProjectionConfig(name="mlp", hidden=7, bias=True, activation=kind), 6, 4)
        assert isinstance(mlp, MLP)
        outs[kind] = mlp(X)
        torch.testing.assert_close(
            outs[kind], function(X @ mlp.hidden.weight.T + mlp.hidden.bias) @ mlp.out.weight.T + mlp.out.bias
        )
    assert not torch.allclose(outs["gelu"], outs["relu"])


@pytest.mark.parametrize("bias", [False, True])
def test_residual(bias):
    torch.manual_seed(2)
    layer = build_projection(ProjectionConfig(name="residual", bias=bias, dropout=0.5), 6, 4)
    names = {"first.weight", "second.weight", "norm.weight", "norm.bias"}
    assert set(dict(layer.named_parameters())) == names | ({"first.bias", "second.bias"} if bias else set())
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    state = {**dict.fromkeys(("first.bias", "second.bias"), torch.zeros(4)), **dict(layer.named_parameters())}
    first = X @ state["first.weight"].T + state["first.bias"]
    both = first + F.gelu(first) @ state["second.weight"].T + state["second.bias"]
    scaled = (both - both.mean(1, keepdim=True)) / (both.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(layer.eval()(X), scaled * state["norm.weight"] + state["norm.bias"])
    assert not torch.equal(layer.train()(X), layer(X))  # dropout


def test_unit_vectors_first():
    torch.manual_seed(3)
    layer = build_projection(ProjectionConfig(name="mlp", normalize_inputs=True), 6, 4)
    torch.testing.assert_close(layer(X), layer(3 * X))
    torch.testing.assert_close(layer(X), layer.inner(F.normalize(X, dim=-1)))
