"""Checks of `objectives`: pairs, losses, similarities, scales and biases, named objectives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from anyclip.config.checking import Checking
from anyclip.config.normalize import named
from anyclip.config.schema import ObjectiveConfig, ScaleConfig
from anyclip.config.source import Key
from anyclip.errors import PluginError, did_you_mean
from anyclip.specs import LossSpec, ObjectiveSpec

_OF_PAIRS = ("loss", "similarity", "scale", "bias", "negatives", "heads")
_OF_LOSSES = ("loss", "heads", "negatives")  # not of terms such as distillation, though they have a pair


def check_objectives(checking: Checking) -> set[str] | None:
    """Check every objective. Returns the streams they use, or None when that cannot be told (or there are none)."""
    objectives = checking.config.objectives
    used: set[str] = set()
    told = bool(objectives)
    for i, objective in enumerate(objectives):
        key = ("objectives", i)
        if objective.pair is not None and objective.name is not None and not _is_term(checking, objective.name):
            checking.add(key, "has both pair and name; an objective is a loss on a pair, or a named one.")
            told = False
        elif objective.pair is not None and objective.name is None:
            told = _check_pair(checking, objective, key) and told
            used |= {name.partition("#")[0] for name in objective.pair}
        elif objective.name is not None:
            found = _check_named(checking, objective, key)
            told = bool(found) and told
            used |= found
        else:
            checking.add(key, "needs a pair of streams, or the name of an objective.", (*key, "pair"), (*key, "name"))
            told = False
        _check_schedule(checking, objective, key)
    for what in ("scale", "bias"):
        _check_shared(checking, what)
    if objectives and all(o.start for o in objectives):
        message = "no objective takes part in the first steps: the earliest start is 0."
        checking.add(("objectives", 0, "start"), message, ("objectives",))
    if objectives and all(o.name is not None for o in objectives) and checking.config.pair_reduction != "sum":
        checking.idle(("pair_reduction",), "no objective is a loss on a pair.")
    return used if told else None


def _check_schedule(checking: Checking, objective: ObjectiveConfig, key: Key) -> None:
    steps = checking.config.train.steps
    if steps is not None and objective.start >= steps:
        message = f"{objective.start} is never reached in the {steps} steps of the run."
        checking.add((*key, "start"), message, ("train", "steps"))
    if objective.ramp and not objective.weight:
        checking.idle((*key, "ramp"), "the weight is 0.", (*key, "weight"))


def _check_negatives(checking: Checking, objective: ObjectiveConfig, key: Key) -> None:
    """Wider negatives only for losses, with options, for which they are defined."""
    loss = named(objective.loss)
    try:
        spec = checking.registry.spec("loss", loss.name)
    except PluginError:
        return
    assert isinstance(spec, LossSpec)
    if objective.negatives == "pair":
        return
    if spec.wide is None:
        message = f"{objective.negatives} is not defined for the loss {loss.name}; it takes complete rows only: pair."
        checking.add((*key, "negatives"), message, (*key, "loss"))
        return
    odd = sorted(set(loss.options) - set(spec.wide))
    if odd:
        message = f"{objective.negatives} is not defined for {loss.name} with {', '.join(odd)}; use pair."
        checking.add((*key, "negatives"), message, (*key, "loss"))


def _check_pair(checking: Checking, objective: ObjectiveConfig, key: Key) -> bool:
    """A loss on a pair. False when its streams are not there."""
    there = checking.pair(objective.pair or [], (*key, "pair"))
    checking.idle((*key, "options"), "a pair has none; options of the loss stand under loss.")
    for kind in ("loss", "similarity"):
        part, part_key = named(getattr(objective, kind)), (*key, kind)
        name_key = (*part_key, "name") if checking.wrote((*part_key, "name")) else part_key
        checking.part(kind, part.name, part.options, name_key, (*part_key, "options"))
    _check_scalars(checking, objective, key)
    _check_negatives(checking, objective, key)
    _check_fields(checking, objective, key)
    for stream in objective.heads:
        if stream not in (objective.pair or []):
            checking.add((*key, "heads", stream), f"{stream} is not one of the pair.", (*key, "pair"))
    return there


def _is_term(checking: Checking, name: str) -> bool:
    """Whether a named objective is a term of a pair."""
    try:
        spec = checking.registry.spec("objective", name)
    except PluginError:
        return False
    return isinstance(spec, ObjectiveSpec) and spec.pair


def _check_fields(checking: Checking, objective: ObjectiveConfig, key: Key) -> None:
    """`fields` maps what the loss or objective can read; the data may bring those columns."""
    kind, name = ("objective", objective.name) if objective.name else ("loss", named(objective.loss).name)
    try:
        spec = checking.registry.spec(kind, name)
    except PluginError:
        return
    assert isinstance(spec, (LossSpec, ObjectiveSpec))
    for field in objective.fields:
        if field not in spec.fields:
            hint = did_you_mean(field, spec.fields, noun="Fields") if spec.fields else "It reads none."
            checking.add((*key, "fields", field), f"{name} reads no field {field!r}. {hint}")
    checking.asked |= {objective.fields.get(field, field) for field in spec.fields}


def _check_scalars(checking: Checking, objective: ObjectiveConfig, key: Key) -> None:
    """Scale and bias of an edge against what its loss has."""
    loss = named(objective.loss)
    try:
        spec = checking.registry.spec("loss", loss.name)
    except PluginError:
        return
    assert isinstance(spec, LossSpec)
    scale = objective.scale
    if scale is not None:
        first = spec.scale.init if scale.init is None else scale.init
        limit = spec.scale.max if scale.max is None else scale.max
        if first <= 0:
            checking.add((*key, "scale", "init"), f"must be greater than 0, not {first:g}.")
        if limit is not None and first > limit:
            which = "init" if scale.init is not None else "max"
            checking.add((*key, "scale", which), f"init {first:g} is above max {limit:g}.", (*key, "loss"))
        if not scale.learn:
            checking.idle((*key, "scale", "max"), "a scale that is not learned never moves.")
    if objective.bias is not None:
        if spec.bias is None:
            checking.idle((*key, "bias"), f"the loss {loss.name} has no bias.", (*key, "loss"))
        else:
            checking.idle((*key, "bias", "max"), "only a scale is clamped.")


def _check_shared(checking: Checking, what: str) -> None:
    """Edges that share a scale or bias are at least two and agree on its settings."""
    groups: dict[str, list[tuple[Key, ScaleConfig]]] = {}
    for i, objective in enumerate(checking.config.objectives):
        scalar: ScaleConfig | None = getattr(objective, what)
        if objective.pair is not None and scalar is not None and scalar.share is not None:
            groups.setdefault(scalar.share, []).append((("objectives", i, what), scalar))
    for share, members in groups.items():
        (first_key, first), *others = members
        if not others:
            checking.idle((*first_key, "share"), f"no other objective shares the {what} {share!r}.", ("objectives",))
        for key, scalar in others:
            if scalar != first:
                at = ".".join(map(str, first_key))
                checking.add(key, f"shares the {what} {share!r} with {at} but sets it differently.", first_key)


def _check_named(checking: Checking, objective: ObjectiveConfig, key: Key) -> set[str]:
    """A named objective. Returns the streams that its options name."""
    assert objective.name is not None
    term = _is_term(checking, objective.name)
    for setting in _OF_LOSSES if term else _OF_PAIRS:
        checking.idle((*key, setting), f"it belongs to a pair; options of {objective.name} stand under options.")
    _check_fields(checking, objective, key)
    built = checking.part("objective", objective.name, objective.options, (*key, "name"), (*key, "options"))
    try:
        spec = checking.registry.spec("objective", objective.name)
    except PluginError:
        return set()
    if isinstance(spec, ObjectiveSpec) and not spec.cacheable and checking.config.train.micro_batch is not None:
        message = f"the objective {objective.name} runs towers again, which micro_batch cannot repeat exactly."
        checking.add(("train", "micro_batch"), message, (*key, "name"))
    checking.stream_options(objective.options, (*key, "options"))
    if term and objective.pair is None:
        checking.add(key, f"{objective.name} is a term of a pair: it needs two streams.", (*key, "pair"))
    elif term:
        checking.pair(objective.pair or [], (*key, "pair"))
    found = set(texts(built)) | set(texts(objective.options)) | set(objective.pair or ())
    checking.asked |= found
    return {name.partition("#")[0] for name in found} & set(checking.streams)


def texts(value: Any) -> Iterator[str]:
    """Every text inside options, also as a key."""
    if isinstance(value, str):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            yield from texts(getattr(value, f.name))
    elif isinstance(value, Mapping):
        for k, v in value.items():
            yield from texts(k)
            yield from texts(v)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts(item)
