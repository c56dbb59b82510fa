"""Build the objectives of a config and add up their terms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from anyclip.config import Config, named
from anyclip.config.schema import ObjectiveConfig, ScaleConfig
from anyclip.errors import UserError, did_you_mean
from anyclip.losses import create_loss
from anyclip.model import JointModel
from anyclip.model.build import seeded
from anyclip.model.sharing import share_state
from anyclip.objectives.base import Objective, StepContext
from anyclip.objectives.edge import PairObjective
from anyclip.objectives.heads import Head
from anyclip.objectives.scalar import bias, log_scale, settle
from anyclip.objectives.schedule import Schedule
from anyclip.objectives.term import EdgeTerm
from anyclip.registry import get_registry
from anyclip.similarities import Similarity, create_similarity
from anyclip.specs import LossSpec, ObjectiveSpec

Reduction = Literal["sum", "mean", "factorial"]


class Objectives(nn.ModuleList):
    """Every term of the training loss, with its weight, schedule and name.

    total = sum of factor(step) x term. With `mean` the edges' part is divided by the number of edges that take part in
    the step and have enough complete rows in the batch, with `factorial` by that number's factorial (AudioCLIP); other
    terms just add. A term before its start is not computed: it reaches no parameter, and `after_step` passes it over.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        *,
        names: Sequence[str],
        weights: Sequence[float] | None = None,
        schedules: Sequence[Schedule] | None = None,
        reduction: Reduction = "sum",
    ):
        super().__init__(objectives)
        self.names = list(names)
        self.weights = list(weights) if weights is not None else [1.0] * len(self.names)
        self.schedules = list(schedules) if schedules is not None else [Schedule()] * len(self.names)
        self.reduction = reduction
        share_state(self)

    @property
    def terms(self) -> list[tuple[str, float, Objective]]:
        """(name, weight, objective) of each."""
        return list(zip(self.names, self.weights, self))  # type: ignore[arg-type]

    def active(self, step: int) -> tuple[bool, ...]:
        """Which of the terms take part in a step (counted from 0)."""
        return tuple(schedule.factor(step) > 0 for schedule in self.schedules)

    def streams_at(self, step: int) -> list[str]:
        """Streams that the terms of a step need, in the order of `streams`."""
        active = zip(self.active(step), self.terms)
        needed = {s for on, (_, _, objective) in active if on for s in objective.streams}
        return [s for s in self.streams if s in needed]

    @property
    def streams(self) -> list[str]:
        """Streams that any objective needs, in the order of first use."""
        return list(dict.fromkeys(s for _, _, o in self.terms for s in o.streams))

    @property
    def fields(self) -> list[str]:
        """Extra columns that the data must bring."""
        return list(dict.fromkeys(f for _, _, o in self.terms for f in o.data_fields))

    @property
    def edges(self) -> dict[str, tuple[str, str]]:
        """Name -> streams of every pair."""
        return {name: o.streams for name, _, o in self.terms if isinstance(o, PairObjective)}  # type: ignore[misc]

    def forward(self, ctx: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        """(this process's share of the weighted total, shares of the single terms, unweighted)."""
        shares: dict[str, Tensor] = {}
        edges, others = [], []
        counted = 0
        for (name, weight, objective), schedule in zip(self.terms, self.schedules):
            factor = weight * schedule.factor(ctx.step)
            if not schedule.factor(ctx.step):
                continue
            found = objective(ctx)
            for key, share in found.items():
                shares[name if len(found) == 1 else f"{name}.{key}"] = share
                (edges if isinstance(objective, PairObjective) else others).append(factor * share)
            counted += isinstance(objective, PairObjective) and objective.counted(ctx)
        divisor = {"sum": 1, "mean": max(counted, 1), "factorial": math.factorial(counted)}[self.reduction]
        parts = [e / divisor for e in edges] + others
        return torch.stack(parts).sum() if parts else _nothing(self), shares

    def after_step(self, ctx: StepContext | None) -> None:
        """Clamp scales, update queues; `ctx` may be None when `keeps_state` is False."""
        with torch.no_grad():
            for (_, _, objective), schedule in zip(self.terms, self.schedules):
                if ctx is None or schedule.factor(ctx.step):
                    objective.after_step(ctx)  # type: ignore[arg-type]

    @property
    def keeps_state(self) -> bool:
        """Whether any objective wants the step's features after the optimizer step."""
        plain = (Objective.after_step, PairObjective.after_step, EdgeTerm.after_step)
        return any(type(o).after_step not in plain for _, _, o in self.terms)

    def begin(self, model: JointModel) -> None:
        """Once before the first step of a run, with all weights loaded: teachers take the weights of their towers."""
        for objective in self:
            objective.begin(model)  # type: ignore[operator]


def build_objectives(config: Config, model: JointModel) -> Objectives:
    """The objectives of a config for a model. First weights of heads are a function of the run's seed and their place.

    Raises UserError for streams that the model lacks, shared scales that disagree, and a config without objectives.
    """
    if not config.objectives:
        raise UserError("there is nothing to train for.", where="objectives", hint="Add a pair of streams.")
    builder = _Builder(model)
    order = sorted(range(len(config.objectives)), key=lambda i: config.objectives[i].name is not None)
    made = {}
    for i in order:  # losses first: terms take over from their pairs
        with seeded(f"{config.train.seed}/objectives/{i}"):
            made[i] = builder.build(i, config.objectives[i])
    built = [made[i] for i in range(len(made))]
    return Objectives(
        built,
        names=_names(config.objectives),
        weights=[settings.weight for settings in config.objectives],
        schedules=[Schedule(settings.start, settings.ramp) for settings in config.objectives],
        reduction=config.pair_reduction,
    )


class _Builder:
    """Keeps what edges share while they are built."""

    def __init__(self, model: JointModel):
        self.model = model
        self._similarities: dict[str, Similarity] = {}
        self._shared: dict[tuple[str, str], tuple[Any, nn.Parameter]] = {}
        self._edges: dict[tuple[str, str], PairObjective] = {}

    def build(self, index: int, settings: ObjectiveConfig) -> Objective:
        where = f"objectives.{index}"
        objective = self._edge(settings, where) if settings.name is None else self._named(settings, where)
        objective.columns = columns(objective, settings, where)
        if isinstance(objective, PairObjective):
            self._edges.setdefault(objective.streams, objective)
        for stream in objective.streams:
            try:
                self.model.resolve(stream)
            except UserError as error:
                raise UserError(error.message, where=where, hint=error.hint) from None
        return objective

    def _named(self, settings: ObjectiveConfig, where: str) -> Objective:
        registry = get_registry()
        assert settings.name is not None
        options = registry.build_options("objective", settings.name, settings.options)
        cls = registry.load("objective", settings.name)
        if not issubclass(cls, EdgeTerm):
            return cls.from_options(options, model=self.model)
        pair = _pair(settings, where)
        spec = registry.spec("objective", settings.name)
        assert isinstance(spec, ObjectiveSpec)
        edge = self._edges.get(pair) if settings.similarity == "cosine" else None
        if edge is not None and "embedding" not in edge.similarity.needs:
            edge = None  # a loss on tokens: the term compares embeddings by cosine
        similarity = self._similarity(settings) if edge is None else edge.similarity
        scalars = self._scalars(settings, spec, self._edges.get(pair), where)
        return cls.from_edge(options, pair, similarity, model=self.model, **scalars)

    def _scalars(
        self, settings: ObjectiveConfig, spec: ObjectiveSpec, edge: PairObjective | None, where: str
    ) -> dict[str, Any]:
        """Scale and bias of a term: its own where the config names them or no loss is on the pair, else the loss's."""
        found: dict[str, Any] = {}
        scale = settle(settings.scale, spec.scale)
        if edge is not None and settings.scale is None:
            found |= {"log_scale": edge.log_scale}
        elif scale is not None:
            made = log_scale(scale, where=f"{where}.scale")
            found |= {"log_scale": self._share("scale", settings.scale, scale, where, made), "scale_max": scale.max}
        shift = settle(settings.bias, spec.bias)
        if edge is not None and settings.bias is None:
            found["bias"] = edge.bias
        elif shift is not None:
            found["bias"] = self._share("bias", settings.bias, shift, where, bias(shift))
        return found

    def _edge(self, settings: ObjectiveConfig, where: str) -> PairObjective:
        pair = _pair(settings, where)
        loss = named(settings.loss)
        spec = get_registry().spec("loss", loss.name)
        assert isinstance(spec, LossSpec)
        scale, shift = settle(settings.scale, spec.scale), settle(settings.bias, spec.bias)
        assert scale is not None
        return PairObjective(
            pair,
            create_loss(loss.name, **loss.options),
            self._similarity(settings),
            log_scale=self._share("scale", settings.scale, scale, where, log_scale(scale, where=f"{where}.scale")),
            bias=None if shift is None else self._share("bias", settings.bias, shift, where, bias(shift)),
            scale_max=scale.max,
            negatives=settings.negatives,
            heads=self._heads(settings, pair, where),
            where=where,
        )

    def _heads(self, settings: ObjectiveConfig, pair: tuple[str, str], where: str) -> dict[str, nn.Module]:
        for stream in settings.heads:
            if stream not in pair:
                raise UserError(f"{stream} is not one of the pair.", where=f"{where}.heads.{stream}")
        heads = {side: settings.heads[stream] for side, stream in zip("ab", pair) if stream in settings.heads}
        return {side: Head(config, self.model.dim) for side, config in heads.items()}

    def _similarity(self, settings: ObjectiveConfig) -> Similarity:
        """Edges share a similarity that has nothing to learn, so that a stream is gathered once."""
        wanted = named(settings.similarity)
        key = f"{wanted.name} {sorted(wanted.options.items())}"
        if key not in self._similarities:
            similarity = create_similarity(wanted.name, **wanted.options)
            if any(True for _ in similarity.parameters()):
                return similarity
            self._similarities[key] = similarity
        return self._similarities[key]

    def _share(
        self, kind: str, config: ScaleConfig | None, settled: Any, where: str, made: nn.Parameter
    ) -> nn.Parameter:
        if config is None or config.share is None:
            return made
        first, parameter = self._shared.setdefault((kind, config.share), (settled, made))
        if first != settled:
            raise UserError(
                f"edges that share the {kind} {config.share!r} must agree: {settled} here, {first} before.",
                where=f"{where}.{kind}",
            )
        return parameter


def _pair(settings: ObjectiveConfig, where: str) -> tuple[str, str]:
    if settings.pair is None or len(settings.pair) != 2:
        need = "two streams: `pair: [A, B]`" if settings.name else "a pair of two streams, or a name"
        raise UserError(f"needs {need}.", where=where)
    return settings.pair[0], settings.pair[1]


def columns(objective: Objective, settings: ObjectiveConfig, where: str) -> dict[str, str]:
    """`fields` of the config. Raises UserError for a name that the loss or objective does not read."""
    for name in settings.fields:
        if name not in objective.fields:
            hint = did_you_mean(name, objective.fields, noun="Fields") if objective.fields else None
            raise UserError(f"no field {name!r} is read with these options.", where=f"{where}.fields", hint=hint)
    return dict(settings.fields)


def _nothing(module: nn.Module) -> Tensor:
    """The total of a step in which no term takes part; nothing has a gradient."""
    parameter = next(module.parameters(), None)
    return torch.zeros((), device=None if parameter is None else parameter.device)


def _names(settings: Sequence[ObjectiveConfig]) -> list[str]:
    """`a-b` for an edge, with its loss where that is not unique, and then with a number."""
    plain = [s.name or "-".join(s.pair or []) for s in settings]
    names = [p if plain.count(p) == 1 or s.name else f"{p}.{named(s.loss).name}" for p, s in zip(plain, settings)]
    return [n if names.count(n) == 1 else f"{n}.{names[: i + 1].count(n)}" for i, n in enumerate(names)]
