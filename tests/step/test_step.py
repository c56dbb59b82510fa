"""One training step in one process: against plain formulas, and the rules of what is run, kept and replayed."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from anyclip.config import config_from_dict
from anyclip.data.batch import Batch, Part
from anyclip.errors import UserError
from anyclip.model import JointModel, build_model
from anyclip.objectives import Objective, Objectives, build_objectives
from anyclip.step import Step, after_step, train_step, unwrap
from anyclip.step.encoding import encode_placeholder
from anyclip.step.inject import inject
from anyclip.testing.toy import ToyProcessor
from anyclip.testing.toy_objectives import Queue, TokenMax
from anyclip.towers import Encoding, Tower

N = 9


def make(pairs=(["a", "b"],), reduction="sum", streams="abc", seed=0, tower=None, **edge) -> Step:
    toy = {"name": "toy/mlp", "options": {"size": 4, "width": 6} | (tower or {})}
    used = [s for s in streams if any(s in pair for pair in pairs)]
    config = config_from_dict(
        {
            "model": {"dim": 5, "towers": dict.fromkeys(used, toy)},
            "objectives": [{"pair": pair, **edge} for pair in pairs],
            "pair_reduction": reduction,
        }
    )
    model = build_model(config.model, seed=seed)
    return Step(model, build_objectives(config, model), seed=1).double().train()


def data(missing=0.3, seed=0, streams="abc"):
    g = torch.Generator().manual_seed(seed)
    values = {s: torch.randn(N, 4, generator=g, dtype=torch.float64) for s in streams}
    return values, {s: torch.rand(N, generator=g) >= missing for s in streams}


def batch_of(values, have, parts=1) -> Batch:
    made = []
    for i in range(parts):
        first, last = N * i // parts, N * (i + 1) // parts
        rows = {s: have[s][first:last].nonzero()[:, 0] + first for s in values}
        made.append(Part({s: values[s][r] for s, r in rows.items() if len(r)}, rows))
    return Batch(made, N, (0, N))


def grads(step: Step) -> dict:
    return {n: None if p.grad is None else p.grad.clone() for n, p in step.named_parameters()}


def same(one: dict, two: dict, tolerance=1e-12) -> None:
    assert one.keys() == two.keys()
    for name in one:
        assert (one[name] is None) == (two[name] is None), name
        if one[name] is not None:
            torch.testing.assert_close(one[name], two[name], rtol=tolerance, atol=tolerance)


def plain_term(model, values, have, pair, loss, scale, bias):
    """A pair's loss as the papers write it, over the rows that have both."""
    rows = have[pair[0]] & have[pair[1]]
    n = int(rows.sum())
    a, b = (F.normalize(model.projection(s)(model.tower(s)(values[s][rows]).pooled), dim=-1) for s in pair)
    logits = scale * a @ b.T
    if loss == "siglip":
        return F.binary_cross_entropy_with_logits(logits + bias, torch.eye(n).double(), reduction="sum") / n, n
    labels = torch.arange(n)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2, n


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("loss", ["infonce", "siglip"])
@pytest.mark.parametrize(("reduction", "divisor"), [("sum", 1), ("mean", 3), ("factorial", 6)])
def test_against_the_plain_formula(loss, parts, reduction, divisor):
    pairs = (["a", "b"], ["b", "c"], ["a", "c"])
    step = make(pairs, reduction, loss=loss, weight=0.5, scale={"init": 6.0})
    values, have = data()
    output = train_step(step, batch_of(values, have, parts), step=0)
    got = grads(step)
    step.zero_grad()
    total = 0.0
    for pair, objective in zip(pairs, step.objectives):
        term, n = plain_term(step.model, values, have, pair, loss, objective.log_scale.exp(), objective.bias)
        name = "-".join(pair)
        assert output.terms[name] == pytest.approx(term.item(), rel=1e-12)
        assert output.pairs[name] == n
        total = total + 0.5 * term / divisor
    total.backward()
    assert output.loss == pytest.approx(total.item(), rel=1e-12)
    assert output.finite
    same(got, grads(step))


def test_pairs_without_enough_rows_are_zero_and_not_counted():
    values, have = data(missing=0)
    have["c"][:] = False
    have["c"][3] = True
    for loss, counted in (("infonce", 1), ("siglip", 2)):
        step = make((["a", "b"], ["b", "c"]), "mean", loss=loss)
        output = train_step(step, batch_of(values, have), step=0)
        assert output.loss == pytest.approx(sum(output.terms.values()) / counted)
        assert (output.terms["b-c"] == 0) == (counted == 1)
        assert output.pairs == {"a-b": N, "b-c": 1}
        assert float(step.objectives[1].log_scale.grad.abs()) * (counted == 1) == 0


def test_what_no_row_reached_has_no_gradient():
    step = make((["a", "b"], ["b", "c"]))
    values, have = data(missing=0)
    have["c"][:] = False
    for parts in (1, 3):
        train_step(step, batch_of(values, have, parts), step=0)
        for name, grad in grads(step).items():
            assert (grad is None) == (".c." in name), name


def test_a_batch_without_any_row():
    step = make()
    values, have = data(missing=1.1)
    for parts in (1, 3):
        output = train_step(step, batch_of(values, have, parts), step=0)
        assert (output.loss, output.pairs, output.finite) == (0.0, {"a-b": 0}, True)


class Normed(Tower):
    """BatchNorm, a counter of calls, tokens of a length that the inputs decide."""

    modality = "toy"

    def __init__(self):
        super().__init__()
        self.width, self.processor = 6, ToyProcessor(4)
        self.norm, self.out = nn.BatchNorm1d(4), nn.Linear(4, 6)
        self.calls: list[int] = []

    def forward(self, inputs, *, mask=None, layers=()):
        assert len(inputs), "a tower is never called with 0 rows"
        self.calls.append(len(inputs))
        lengths = (inputs.abs().sum(1) % 3).long() + 1
        inside = torch.arange(int(lengths.max()))[None] < lengths[:, None]
        tokens = self.out(inputs)[:, None] * torch.arange(1, inside.shape[1] + 1)[None, :, None].sin()
        return Encoding(self.out(self.norm(inputs)), tokens=tokens * inside[..., None], mask=inside)


def normed_step(**kw) -> Step:
    template = make(**kw)
    towers = {s: Normed() for s in "ab"}
    torch.manual_seed(0)
    model = JointModel(5, towers, {s: nn.Linear(6, 5) for s in "ab"})
    return Step(model, template.objectives, seed=1).double().train()


def test_statistics_are_updated_once_by_two_passes():
    values, have = data(streams="ab")
    step = normed_step()
    train_step(step, batch_of(values, have, 2), step=0)
    norm = step.model.tower("a").norm
    want = nn.BatchNorm1d(4).double()
    for part in batch_of(values, have, 2).parts:
        want(part.inputs["a"])
    assert norm.num_batches_tracked == 2
    torch.testing.assert_close(norm.running_mean, want.running_mean)
    torch.testing.assert_close(norm.running_var, want.running_var)


def test_towers_are_called_as_often_as_needed():
    values, have = data(streams="ab")
    have["a"][:3] = False
    step = normed_step()
    step.model.tower("b").requires_grad_(False)
    step.train()
    assert not step.model.tower("b").norm.training
    train_step(step, batch_of(values, have, 3), step=0)
    a, b = (int(have[s].sum()) for s in "ab")
    assert sum(step.model.tower("a").calls) == 2 * a  # once without grad, once with
    assert len(step.model.tower("a").calls) == 4  # the first part holds no row of it
    assert sum(step.model.tower("b").calls) == b  # frozen: never again
    assert step.model.projection("b").weight.grad is not None


def test_tokens_of_unequal_length_in_parts():
    values, have = data(streams="ab")
    results = []
    for parts in (1, 3):
        step = normed_step()
        step.eval()  # BatchNorm's statistics would depend on the cut
        step.objectives[0].similarity, step.objectives[0].needs = TokenMax(), TokenMax.needs
        output = train_step(step, batch_of(values, have, parts), step=0)
        results.append((output.loss, grads(step)))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-12)
    same(results[0][1], results[1][1])


def test_a_placeholder_leaves_no_trace():
    step = normed_step()
    tower = step.model.tower("a")
    before = {n: b.clone() for n, b in tower.named_buffers()}
    encoding = encode_placeholder(step.model, "a")
    assert encoding.pooled.shape == (0, 6)
    assert encoding.pooled.requires_grad
    assert tower.norm.training
    assert all(torch.equal(b, before[n]) for n, b in tower.named_buffers())
    encoding.pooled.sum().backward()
    assert tower.out.weight.grad.abs().sum() == 0


def test_draws_depend_on_seed_step_and_stream_only():
    values, have = data(missing=0)

    def run(number, seed=1, noise=0):
        step = make(tower={"dropout": 0.5})
        step.seed = seed
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        loss = train_step(step, batch_of(values, have), step=number).loss
        assert torch.equal(before, torch.get_rng_state())
        return loss

    assert run(0) == run(0, noise=5)
    assert len({run(0), run(1), run(0, seed=2)}) == 3


def test_earlier_gradients_are_dropped():
    step = make()
    batch = batch_of(*data())
    train_step(step, batch, step=0)
    first = grads(step)
    train_step(step, batch, step=0)
    same(first, grads(step), 0)


def test_a_loss_that_is_not_finite_is_said():
    step = make()
    values, have = data(missing=0)
    values["a"][2, 1] = float("nan")
    assert not train_step(step, batch_of(values, have), step=0).finite


def test_after_step_clamps_scales():
    step = make(scale={"init": 50.0, "max": 60.0})
    with torch.no_grad():
        step.objectives[0].log_scale += 5
    after_step(step, train_step(step, batch_of(*data()), step=0))
    assert step.objectives[0].scale.item() == pytest.approx(60.0)


def test_a_queue_is_state():
    """Filled once per step in row order, the same with parts; saved and loaded with the objectives."""
    values, have = data()
    weights = torch.rand(N, dtype=torch.float64)
    steps = []
    for parts in (1, 3):
        template = make()
        objectives = Objectives([*template.objectives, Queue("a", field="w", dim=5)], names=["a-b", "queue"])
        step = Step(template.model, objectives, seed=1).double()
        for number in range(2):
            batch = batch_of(values, have, parts)
            batch.fields["w"] = (torch.arange(N), weights)
            output = train_step(step, batch, step=number)
            assert set(output.terms) == {"a-b", "queue.queue", "queue.spread"}
            before = objectives[1].queue.clone()
            after_step(step, output)
            rows = step.model.features("a", step.model.encode("a", values["a"][have["a"]])).detach()
            torch.testing.assert_close(objectives[1].queue, torch.cat([before, rows])[-8:], rtol=1e-12, atol=1e-12)
        steps.append((step, output, grads(step)))
    assert objectives.fields == ["w"]
    assert steps[0][1].loss == pytest.approx(steps[1][1].loss, rel=1e-12)
    same(steps[0][2], steps[1][2])
    state = steps[0][0].objectives.state_dict()
    assert "1.queue" in state
    steps[1][0].objectives.load_state_dict({k: v + 1 for k, v in state.items()})
    assert torch.equal(steps[1][0].objectives[1].queue, state["1.queue"] + 1)


class Again(Objective):
    """Runs a tower again."""

    cacheable = False

    def __init__(self, cacheable=False):
        super().__init__()
        self.streams, self.cacheable = ("a",), cacheable

    def forward(self, ctx):
        one = ctx.encode("a", 2 * ctx.batch.parts[0].inputs["a"]).pooled
        none = ctx.encode("a", None).pooled
        assert none.shape == (0, 6)
        return {"again": (one - ctx.encoding("a").pooled).square().sum() / ctx.count("a") + none.sum()}


def test_objectives_that_run_a_tower_again():
    values, have = data()
    model = make().model
    step = Step(model, Objectives([Again()], names=["again"]), seed=0).double()
    output = train_step(step, batch_of(values, have), step=0)
    x = values["a"][have["a"]]
    tower = model.tower("a")
    want = (tower(2 * x).pooled - tower(x).pooled).square().sum() / len(x)
    assert output.loss == pytest.approx(want.item(), rel=1e-12)
    with pytest.raises(UserError, match=r"train.micro_batch: again runs a tower again.*Set it to null"):
        train_step(step, batch_of(values, have, 2), step=0)
    lying = Step(model, Objectives([Again(cacheable=True)], names=["again"]), seed=0).double()
    with pytest.raises(RuntimeError, match="cacheable = False"):
        train_step(lying, batch_of(values, have, 2), step=0)


def test_fields_are_asked_by_row():
    from anyclip.distributed import Presence
    from anyclip.step.context import Context

    step, batch = make(), batch_of(*data(missing=0))
    batch.fields["label"] = (torch.tensor([1, 4, 6]), torch.tensor([10, 40, 60]))
    presence = Presence.of(step.streams, {s: batch.rows(s) for s in step.streams}, N, (0, N))
    context = Context(step.model, batch, presence, {}, {}, step=0, key=())
    assert context.field("label", torch.tensor([1, 6])).tolist() == [10, 60]
    with pytest.raises(LookupError, match="1 rows lack the field 'label', first row 2"):
        context.field("label", torch.tensor([1, 2]))
    with pytest.raises(LookupError, match="no field 'labels'"):
        context.field("labels", torch.tensor([1]))
    with pytest.raises(LookupError, match="count"):
        context.encoding("a")


def test_losses_run_without_autocast():
    step = make().float()
    values, have = data(missing=0)
    results = []
    for parts in (1, 3):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = train_step(step, batch_of(values, have, parts), step=0)
        results.append((output.loss, grads(step)))
    features = []
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        for s in "ab":
            features.append(step.model.features(s, step.model.encode(s, values[s])))
    assert features[0].dtype == torch.bfloat16
    a, b = (F.normalize(f.float(), dim=-1) for f in features)
    logits = step.objectives[0].scale.detach() * a @ b.T
    want = (F.cross_entropy(logits, torch.arange(N)) + F.cross_entropy(logits.T, torch.arange(N))) / 2
    assert results[0][0] == pytest.approx(want.item(), rel=1e-6)
    same(results[0][1], results[1][1], 2e-2)


def test_injected_gradients_take_a_loss_scale():
    """A loss scale of 2^16 does not fit into float16, what it makes of a small gradient does."""
    x = torch.ones(2, dtype=torch.float16, requires_grad=True)
    unused = torch.ones(1, requires_grad=True)
    grad = torch.tensor([1e-3, -0.25], dtype=torch.float16)
    (inject([x, unused], [grad, None], x.device) * 65536.0).backward()
    assert x.grad.tolist() == pytest.approx([1e-3 * 65536, -0.25 * 65536], rel=1e-3)
    assert unused.grad is None


def test_unwrap():
    step = make()
    assert unwrap(step) is step
    with pytest.raises(TypeError, match="holds no Step"):
        unwrap(nn.Linear(1, 1))
