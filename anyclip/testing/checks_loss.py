"""Checks of a loss: right gradients, no row order, shares of several processes that add up to the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.distributed import pretended
from anyclip.losses.base import Loss
from anyclip.registry import get_registry
from anyclip.specs import LossSpec
from anyclip.testing.compare import difference, require_close
from anyclip.testing.kit import Check, Fault, NotApplicable, check
from anyclip.testing.subjects import LossSubject

LOSS: list[Check] = []
BLOCKS = ([7], [3, 0, 4], [1, 1, 5], [2, 2, 2, 1])  # rows per pretended process
EXACT = 1e-9
_COLUMNS = "index extra columns as rows: axis 0 of every field is the complete rows"


def batch(n: int = 7, dim: int = 5, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Two batches of unit vectors [n, dim] that need gradients; matching rows are near each other."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(n, dim, generator=generator, dtype=torch.float64)
    b = a + 0.7 * torch.randn(n, dim, generator=generator, dtype=torch.float64)
    a, b = (F.normalize(x, dim=-1).to(dtype).requires_grad_() for x in (a, b))
    return a, b


def scalars(subject: LossSubject) -> dict[str, Tensor | None]:
    """Scale and bias as an edge holds them, [1]; tame values, so that no term vanishes."""
    spec = subject.spec
    assert isinstance(spec, LossSpec)
    bias = None if spec.bias is None else torch.tensor([-1.5], dtype=torch.float64, requires_grad=True)
    return {"scale": torch.tensor([4.0], dtype=torch.float64, requires_grad=True), "bias": bias}


def dots(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> Tensor:
    """The score of cosine similarity."""
    return a["embedding"] @ b["embedding"].T


def two_ways(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """A similarity whose directions differ, as FILIP's."""
    found = dots(a, b)
    return found, (0.5 * found + found.square()).T


def _call(subject: LossSubject, a: Tensor, b: Tensor, given: Mapping[str, Any], **columns: Any) -> Tensor:
    return subject.loss(a, b, **given, **(columns or subject.columns(len(a)))).sum()


@check(LOSS)
def gives_a_number(subject: LossSubject) -> str:
    """Two [N, E] batches give one finite number, positive or not; half precision is computed in float32."""
    if not isinstance(subject.loss, Loss):
        raise Fault(f"{type(subject.loss).__name__} is not a Loss.", "subclass anyclip.Loss")
    value = subject.loss(*batch(), **subject.columns(7))
    if not isinstance(value, Tensor) or value.numel() != 1:
        shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise Fault(f"the loss of 7 rows is {shape}, not one number.", "sum over rows and divide by their number")
    if not bool(torch.isfinite(value).all()):
        raise Fault(f"the loss of ordinary rows is {value.item()}.", "use logsumexp, logsigmoid, softplus")
    half = subject.loss(*batch(dtype=torch.bfloat16), **subject.columns(7))
    if half.dtype != torch.float32:
        raise Fault(f"bf16 embeddings give a {half.dtype} loss.", "do not override forward; define from_scores")
    return f"{float(value.detach()):.4f} on 7 rows"


@check(LOSS)
def prefers_matches(subject: LossSubject) -> None:
    """Rows that match give a lower loss than rows that do not."""
    a, b = batch(8, 16)
    columns = subject.columns(8)
    right, wrong = (float(_call(subject, a, x, scalars(subject), **columns).detach()) for x in (b, b.roll(1, 0)))
    if not right < wrong:
        raise Fault(f"matching rows cost {right:.4f}, shifted rows {wrong:.4f}.", "check the sign and the diagonal")


@check(LOSS)
def gradients_are_right(subject: LossSubject) -> None:
    """The gradient is that of finite differences, in float64, for both sides, scale and bias."""
    given = {k: v for k, v in scalars(subject).items() if v is not None}
    a, b = batch(5, 3)
    columns = subject.columns(5)

    def function(a: Tensor, b: Tensor, *values: Tensor) -> Tensor:
        return _call(subject, a, b, dict(zip(given, values)), **columns)

    try:
        torch.autograd.gradcheck(function, (a, b, *given.values()), eps=1e-6, atol=1e-6, rtol=1e-5)
    except RuntimeError as error:  # torch's GradcheckError and functions without any gradient
        text = f"gradients differ from finite differences: {' '.join(str(error).split())[:300]}"
        raise Fault(text, "let autograd differentiate; detach nothing") from error


@check(LOSS)
def scale_and_bias_learn(subject: LossSubject) -> str:
    """Scale, and bias where the spec has one, get a gradient."""
    spec = subject.spec
    assert isinstance(spec, LossSpec)
    given = scalars(subject)
    value = _call(subject, *batch(), given)
    names = [n for n, scalar in (("scale", spec.scale), ("bias", spec.bias)) if scalar is not None and scalar.learn]
    for name in names:
        scalar = given[name]
        assert scalar is not None
        (gradient,) = torch.autograd.grad(value, [scalar], retain_graph=True, allow_unused=True)
        if gradient is None or not bool(gradient.any()):
            raise Fault(
                f"the {name} gets no gradient, though the spec says that it learns.",
                f"multiply scores by `scale` and add `bias`, or register Scalar(learn=False) for the {name}",
            )
    return " and ".join(names) or "neither learns"


@check(LOSS)
def order_of_rows_is_free(subject: LossSubject) -> None:
    """The same rows in another order give the same loss."""
    a, b = batch()
    order = torch.tensor([4, 0, 6, 2, 5, 1, 3])
    columns = subject.columns(7)
    turned = {k: v[order] if isinstance(v, Tensor) else [v[i] for i in order] for k, v in columns.items()}
    value = _call(subject, a, b, scalars(subject), **columns)
    other = _call(subject, a[order], b[order], scalars(subject), **turned)
    require_close(other, value, "the loss depends on the order of the rows", "treat every row alike", EXACT)


@check(LOSS)
def shares_add_up(subject: LossSubject) -> str:
    """The parts of several processes, and their gradients, add up to the loss of one, whatever each one holds."""
    plain = type(subject.loss).from_scores is not Loss.from_scores  # else it compares embeddings, by share alone
    for score in (dots, two_ways) if plain else (dots,):
        want = _parts(subject, [7], score)
        if plain:
            whole = subject.loss.from_scores(*_directions(score), **_plain(subject), **subject.columns(7)).sum()
        else:
            whole = _call(subject, *batch(), _plain(subject))
        label = "share of all rows is not the loss of all rows"
        require_close(want[0], whole.detach(), label, _mend_share(), EXACT)
        for blocks in BLOCKS[1:]:
            got = _parts(subject, blocks, score)
            for what, x, y in zip(("the loss", "a gradient", "a gradient", "the scale's gradient"), got, want):
                label = f"{what} of processes with {blocks} rows does not add up to that of one process"
                require_close(x, y, label, _mend_share(), EXACT)
    return f"{len(BLOCKS)} divisions" + (", two similarities" if plain else "")


def _mend_share() -> str:
    return "divide by the number of ALL rows (len of the gathered sides), and sum only the rows of `local`"


def _plain(subject: LossSubject) -> dict[str, Any]:
    return {k: v.detach() if v is not None else None for k, v in scalars(subject).items()}


def _directions(score: Any) -> tuple[Tensor, Tensor]:
    a, b = batch()
    found = score({"embedding": a}, {"embedding": b})
    return found if isinstance(found, tuple) else (found, found.T)


def _parts(subject: LossSubject, blocks: Sequence[int], score: Any) -> list[Tensor]:
    """Sum of the shares of pretended processes, and the sums of their gradients."""
    a, b = batch()
    given = scalars(subject)
    leaves = [a, b, *(v for v in given.values() if v is not None)]
    columns, sums, start = subject.columns(7), [torch.zeros((), dtype=torch.float64), *map(torch.zeros_like, leaves)], 0
    for index, count in enumerate(blocks):
        with pretended(index, len(blocks)):
            local = slice(start, start + count)
            share = subject.loss.share({"embedding": a}, {"embedding": b}, local, score=score, **given, **columns).sum()
        found = torch.autograd.grad(share, leaves, allow_unused=True) if share.requires_grad else [None] * len(leaves)
        for i, part in enumerate((share.detach(), *found)):
            sums[i] = sums[i] if part is None else sums[i] + part
        start += count
    return sums


@check(LOSS)
def few_rows_are_fine(subject: LossSubject) -> str:
    """`min_rows` complete rows give a finite loss; fewer are never given."""
    least = subject.loss.min_rows
    if not isinstance(least, int) or least < 1:
        raise Fault(
            f"min_rows is {least!r}.", "set it to the fewest rows with which the formula makes sense, 1 or more"
        )
    value = _call(subject, *batch(least), scalars(subject))
    if not bool(torch.isfinite(value)):
        raise Fault(f"{least} complete rows give {value.item()}.", "raise `min_rows`, or handle so few rows")
    return f"from {least} on"


@check(LOSS)
def large_scores_are_finite(subject: LossSubject) -> None:
    """A scale of 100 on equal and on opposite rows gives a finite loss and finite gradients, in float32."""
    a = batch(6, 5, dtype=torch.float32)[0]
    for label, sign in (("equal", 1.0), ("opposite", -1.0)):
        left, right = (x.detach().clone().requires_grad_() for x in (a, sign * a))
        value = subject.loss(left, right, scale=100.0, **subject.columns(6)).sum()
        value.backward()
        finite = [bool(torch.isfinite(x).all()) for x in (value, left.grad, right.grad) if x is not None]
        if not all(finite):
            raise Fault(
                f"{label} rows at scale 100 give {float(value.detach())} or gradients that are not finite.",
                "use logsumexp, logsigmoid, log_softmax instead of exp, log and division",
            )


@check(LOSS)
def inputs_are_left_alone(subject: LossSubject) -> None:
    """Neither embeddings nor scores are changed in place."""
    a, b = (x.detach() for x in batch())
    kept = [a.clone(), b.clone()]
    scores = a @ b.T
    _call(subject, a, b, _plain(subject))
    kept_scores = scores.clone()
    if type(subject.loss).from_scores is not Loss.from_scores:
        subject.loss.from_scores(scores, scores.T, **_plain(subject), **subject.columns(7))
    if not (torch.equal(a, kept[0]) and torch.equal(b, kept[1]) and torch.equal(scores, kept_scores)):
        raise Fault("the loss changes its inputs.", "use operations without underscore, or clone first")


@check(LOSS)
def tiles_change_nothing(subject: LossSubject) -> str:
    """An option that cuts the work into tiles or chunks does not change the value."""
    cls = get_registry().options_class("loss", subject.part.qualified)
    names = [name for name in _whole_numbers(cls) if "tile" in name or "chunk" in name] if cls is not None else []
    if not names:
        raise NotApplicable("it has no option named tile or chunk")
    want = _parts(subject, [7], dots)
    original = subject.loss
    try:
        for name in names:
            for size in (1, 2, 3, 100):
                subject._loss = subject.build(**{name: size})
                for blocks in BLOCKS[:2]:
                    for got, wanted in zip(_parts(subject, blocks, dots), want):
                        label = f"{name}={size} changes the result"
                        require_close(got, wanted, label, "sum over tiles what the formula sums", EXACT)
    finally:
        subject._loss = original
    return ", ".join(names)


def _whole_numbers(cls: type) -> list[str]:
    """Fields of an options class that take a whole number."""

    def takes(hint: Any) -> bool:
        return hint is int or any(takes(inner) for inner in get_args(hint) if get_origin(hint) is not Literal)

    return [name for name, hint in get_type_hints(cls, include_extras=True).items() if takes(hint)]


@check(LOSS)
def repeats(subject: LossSubject) -> None:
    """The same rows give the same loss twice: nothing is drawn, nothing is kept."""
    a, b = batch()
    one, two = (_call(subject, a, b, scalars(subject)) for _ in range(2))
    if difference(two, one):
        raise Fault("the second call gives another loss.", "a loss on a pair keeps no state; an objective may")
