"""Tiled losses: the value and gradients of the whole matrix, in any tiles, without ever holding it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from anyclip import distributed
from anyclip.losses import create_loss, infonce
from anyclip.losses.tiled import AUTO, plan
from anyclip.losses.tiled_products import Products, products_in
from anyclip.similarities import create_similarity
from anyclip.step import train_step
from anyclip.testing.exactness import build, make_batch
from anyclip.testing.toy_objectives import TokenMax

SCALES = (1.0, 14.0, 50.0, 100.0, 200.0, 400.0)
SOLVED = (0.0, 0.3, 1.0, 100.0)  # share of the first side in the second: unrelated, half learned, solved, equal
Result = list[Tensor]


def batch(n: int, dim: int, solved: float, dtype=torch.float64, seed: int = 0) -> list[Tensor]:
    """Unit vectors, rounded to the dtype."""
    g = torch.Generator().manual_seed(seed)
    a = F.normalize(torch.randn(n, dim, generator=g, dtype=torch.float64), dim=-1)
    noise = torch.randn(n, dim, generator=g, dtype=torch.float64) / dim**0.5
    return [x.to(dtype) for x in (a, F.normalize(solved * a + noise, dim=-1))]


def run(loss, sides, scale, bias=None) -> Result:
    """The loss and the gradients of both sides, the scale and the bias."""
    leaves = [x.clone().requires_grad_() for x in sides]
    leaves += [torch.tensor([v], dtype=sides[0].dtype, requires_grad=True) for v in (scale, bias) if v is not None]
    value = loss(leaves[0], leaves[1], scale=leaves[2], bias=leaves[3] if bias is not None else None)
    return [value.detach(), *torch.autograd.grad(value, leaves)]


def softmax(a: Tensor, b: Tensor, *, scale: Tensor, bias=None, weights=(0.5, 0.5), smoothing=0.0) -> Tensor:
    """The plain formula relative to the pairs' own logits, so that in float64 a solved batch is exact too."""
    logits = scale * a @ b.T
    own = logits.diagonal()
    eye = torch.eye(len(a), dtype=torch.bool)
    total = torch.zeros((), dtype=a.dtype)
    for weight, side in zip(weights, (logits, logits.T)):
        others = (side - own[:, None]).masked_fill(eye, -math.inf).logsumexp(dim=1)
        rows = torch.logaddexp(others, torch.zeros_like(others)) + smoothing * (own - side.mean(dim=1))
        total = total + weight * rows.mean()
    return total


def sigmoid(a: Tensor, b: Tensor, *, scale: Tensor, bias: Tensor) -> Tensor:
    signs = 2 * torch.eye(len(a), dtype=a.dtype) - 1
    return -F.logsigmoid(signs * (scale * a @ b.T + bias)).sum() / len(a)


def error(got: Result, want: Result) -> list[float]:
    """Relative to the size of each."""
    return [float((x.double() - y.double()).norm() / y.double().norm().clamp(min=1e-25)) for x, y in zip(got, want)]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("solved", SOLVED)
@pytest.mark.parametrize("tile", [1, 7, 16, 64])
def test_float64_is_the_whole_matrix(scale, solved, tile):
    sides = batch(23, 16, solved)
    want = run(softmax, sides, scale)
    if want[0] > 1e-25:  # what is smaller is nothing in either
        assert max(error(run(create_loss("infonce", tile=tile), sides, scale), want)) < 1e-10
    got, want = (run(f, sides, scale, bias=-scale) for f in (create_loss("siglip", tile=tile), sigmoid))
    assert max(error(got, want)) < 1e-10


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("solved", SOLVED)
def test_float32_is_no_worse_than_the_plain_formula(scale, solved):
    """Nearly solved batches at a high scale too, where a normaliser that forgets 1e-9 beside 1 is wrong by percents.

    Both round their dot products in another order, which differs with the matmul kernel and its threads: where the
    error is nothing but that, either may be a few times the other.
    """
    sides = batch(130, 256, solved, torch.float32)
    exact = [x.double() for x in sides]
    want = run(softmax, exact, scale)
    if want[0] > 1e-25:
        plain, tiled = (error(run(create_loss("infonce", tile=t), sides, scale), want) for t in ("none", 32))
        assert all(t <= max(4 * p, 1e-6) for p, t in zip(plain, tiled)), (plain, tiled)
        assert max(tiled) < 3e-4
    want = run(sigmoid, exact, scale, bias=-scale)
    plain, tiled = (error(run(create_loss("siglip", tile=t), sides, scale, bias=-scale), want) for t in ("none", 32))
    assert all(t <= max(4 * p, 1e-6) for p, t in zip(plain, tiled)), (plain, tiled)


def test_solved_pairs_keep_their_small_gradients():
    """The plain formula gives 0 in float32 where log(1 + s) with s = 1e-9 is not."""
    sides = batch(64, 256, 0.6, torch.float32)
    want = run(softmax, [x.double() for x in sides], 60.0)
    assert 0 < want[0] < 1e-6
    assert max(error(run(create_loss("infonce", tile=16), sides, 60.0), want)) < 1e-4


@pytest.mark.parametrize("name", ["infonce", "siglip"])
def test_bfloat16_tiles(name):
    sides = batch(130, 256, 0.3, torch.float32)
    for scale in (1.0, 14.0, 50.0):
        bias = -10.0 if name == "siglip" else None
        want = run(create_loss(name, tile="none"), sides, scale, bias)
        got = run(create_loss(name, tile=32, tile_dtype="bfloat16"), sides, scale, bias)
        assert all(x.dtype == torch.float32 for x in got)
        assert error(got, want)[0] < 1e-3
        assert max(error(got, want)) < 1e-2


@pytest.mark.parametrize("name", ["infonce", "siglip"])
def test_float64_never_has_bfloat16_tiles(name):
    sides = batch(20, 8, 0.3)
    got, want = (run(create_loss(name, tile=5, tile_dtype=d), sides, 5.0, -1.0) for d in ("bfloat16", "float32"))
    assert all(torch.equal(x, y) for x, y in zip(got, want))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["mean", "sum", [0.2, 0.7], [1.0, 0.0]])
def test_options(smoothing, reduction):
    sides = batch(23, 16, 0.3)
    weights = {"mean": (0.5, 0.5), "sum": (1.0, 1.0)}.get(reduction) if isinstance(reduction, str) else tuple(reduction)
    want = run(lambda *x, **k: softmax(*x, **k, weights=weights, smoothing=smoothing), sides, 14.0)
    options = {"label_smoothing": smoothing, "direction_reduction": reduction}
    for tile in ("none", 5):
        assert max(error(run(create_loss("infonce", tile=tile, **options), sides, 14.0), want)) < 1e-12


def test_raw_embeddings_and_normalize_inputs():
    sides = [7 * x for x in batch(23, 16, 0.3)]
    for options in ({}, {"normalize_inputs": True}):
        got, want = (run(create_loss("infonce", tile=t, **options), sides, 9.0) for t in (6, "none"))
        assert max(error(got, want)) < 1e-10


def test_a_bias_cancels_in_infonce():
    sides = batch(23, 16, 0.3)
    with_bias = run(create_loss("infonce", tile=6), sides, 9.0, bias=-3.0)
    assert with_bias[4].tolist() == [0.0]
    assert all(torch.equal(x, y) for x, y in zip(with_bias, run(create_loss("infonce", tile=6), sides, 9.0)))


@pytest.mark.parametrize("name", ["infonce", "siglip"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_huge_scores(name, dtype):
    """Beyond the range of an exponential, in both directions; unequal lengths make pairs that no pivot serves."""
    a, b = batch(23, 16, 0.3, dtype)
    a = a * torch.logspace(-3, 3, 23, dtype=dtype)[:, None]
    got, want = (run(create_loss(name, tile=t), [a, b], 100.0, -2.0) for t in (6, "none"))
    assert want[0] > 1e3
    assert max(error(got[:4], want[:4])) < (1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("name", ["infonce", "siglip"])
def test_few_rows(name, n):
    sides = batch(n, 4, 0.3)
    got, want = (run(create_loss(name, tile=t), sides, 3.0, -1.0) for t in (2, "none"))
    assert all(torch.allclose(x, y, rtol=1e-12, atol=1e-15) for x, y in zip(got, want))


@pytest.mark.parametrize("name", ["infonce", "siglip"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_seen(name, bad):
    a, b = batch(9, 4, 0.3, torch.float32)
    a[3, 1] = bad
    assert not torch.isfinite(create_loss(name, tile=4)(a, b))


@pytest.mark.parametrize("name", ["infonce", "siglip"])
@pytest.mark.parametrize("learns", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 1, 1, 0), (0, 0, 0, 1), (1, 1, 0, 0)])
def test_gradients_of_some_inputs(name, learns):
    """A frozen tower, a scale that does not learn."""
    sides = [*batch(23, 16, 0.3), *(torch.tensor([v], dtype=torch.float64) for v in (9.0, -2.0))]
    found = []
    for tile in (6, "none"):
        leaves = [x.clone().requires_grad_(bool(flag)) for x, flag in zip(sides, learns)]
        create_loss(name, tile=tile)(leaves[0], leaves[1], scale=leaves[2], bias=leaves[3]).backward()
        found.append([x.grad for x in leaves])
    for x, y, flag in zip(*found, learns):
        assert (x is not None) == (y is not None) == bool(flag)
        assert not flag or torch.allclose(x, y, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ["infonce", "siglip"])
def test_without_grad_and_backward_twice(name):
    a, b = [x.requires_grad_() for x in batch(23, 16, 0.3)]
    loss = create_loss(name, tile=6)
    with torch.no_grad():
        quiet = loss(a, b)
    assert not quiet.requires_grad
    value = loss(a, b)
    assert torch.equal(value.detach(), quiet)
    first = torch.autograd.grad(3 * value, [a, b], retain_graph=True)
    second = torch.autograd.grad(value, [a, b])
    for x, y in zip(first, second):
        torch.testing.assert_close(x, 3 * y, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["infonce", "siglip"])
def test_second_derivatives_are_refused(name):
    a, b = [x.requires_grad_() for x in batch(9, 4, 0.3)]
    with pytest.raises(RuntimeError, match="tile: none"):
        torch.autograd.grad(create_loss(name, tile=4)(a, b), [a], create_graph=True)


class Largest(TorchDispatchMode):
    """The most elements that any result of an operation has."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, tuple | list) else [out]:
            if isinstance(x, Tensor):
                self.elements = max(self.elements, x.numel())
        return out


@pytest.mark.parametrize("name", ["infonce", "siglip"])
@pytest.mark.parametrize("scale", [10.0, 400.0])
def test_no_matrix_of_the_batch_is_ever_made(name, scale):
    n, dim, tile = 700, 8, 64
    a, b = [x.requires_grad_() for x in batch(n, dim, 0.3, torch.float32)]
    most = {}
    for edge in (tile, "none"):
        with Largest() as seen:
            create_loss(name, tile=edge)(a, b, scale=scale).backward()
        most[edge] = seen.elements
    assert most["none"] >= n * n
    assert most[tile] <= max(n * dim, tile * tile, 256 * 256)


def test_auto_begins_at_a_size(monkeypatch):
    def planned(n, *, score=None, world=1, name="infonce", **options):
        side = {"embedding": torch.empty(n, 1)}
        monkeypatch.setattr(distributed, "communicates", lambda: world > 1)
        monkeypatch.setattr(distributed, "world_size", lambda: world)
        return plan(create_loss(name, **options).options, side, side, slice(0, n), score)

    edge = math.isqrt(AUTO)
    cosine = create_similarity("cosine").scores
    assert planned(edge - 1) is None
    assert planned(edge).rows == 512
    assert planned(edge, tile="none") is None
    assert planned(3, tile=2, name="siglip").cols == 2
    assert planned(edge, score=cosine).together is False
    assert planned(edge, score=cosine, world=4) is None
    assert planned(2 * edge, score=cosine, world=4).together is True
    assert planned(2 * edge, score=TokenMax().scores) is None


def test_only_whole_batches_or_real_processes_tile():
    """Column sums need the other rows: shares of processes that cannot be asked take the plain formula."""
    a, b = ({"embedding": x} for x in batch(9, 4, 0.3))
    score = create_similarity("cosine").scores
    for name in ("infonce", "siglip"):
        tiled, whole = (create_loss(name, tile=t) for t in (2, "none"))
        parts = [tiled.share(a, b, slice(i, i + 3), score=score, scale=5.0, bias=-1.0) for i in (0, 3, 6)]
        want = whole.share(a, b, slice(0, 9), score=score, scale=5.0, bias=-1.0)
        torch.testing.assert_close(sum(parts), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{"margin": 0.1}, {"positive_weight": 0.0}, {"hardness": 0.25}])
def test_options_without_tiles_take_the_whole_matrix(options):
    a, b = batch(9, 4, 0.3)
    got, want = (create_loss("infonce", tile=t, **options)(a, b) for t in (2, "none"))
    assert torch.equal(got, want)
    assert create_loss("infonce", **options).tiled({"embedding": a}, {"embedding": b}, slice(0, 9), scale=1.0) is None


def test_a_subclass_with_its_own_formula_does_not_tile():
    class Doubled(infonce.InfoNCE):
        def from_scores(self, *args, **kwargs):
            return 2 * super().from_scores(*args, **kwargs)

    a, b = batch(9, 4, 0.3)
    loss = Doubled(create_loss("infonce", tile=2).options)
    torch.testing.assert_close(loss(a, b), 2 * create_loss("infonce")(a, b))


def test_the_run_decides_the_dtype_of_tiles():
    x = torch.zeros(1)
    assert not Products(x, "auto").inside
    with products_in(torch.bfloat16):
        assert Products(x, "auto").inside
        assert not Products(x, "float32").inside
        assert not Products(x.double(), "auto").inside
    assert Products(x, "bfloat16").inside


@pytest.mark.parametrize("mixed", [False, True])
def test_a_step_uses_tiles(mixed, monkeypatch):
    """In a run with bfloat16 autocast the tiles' factors are bfloat16."""
    made = []
    monkeypatch.setattr(infonce, "plan", lambda *args: made.append(plan(*args)) or made[-1])
    step = build("infonce", "tiled").float()
    inputs = make_batch("all", 2, 1, index=0, of=1)
    for part in inputs.parts:
        part.inputs = {s: x.float() for s, x in part.inputs.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
        assert train_step(step, inputs, step=0).finite
    assert [(t.rows, t.products.inside) for t in made] == [(3, mixed)] * 2
