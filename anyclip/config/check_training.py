"""Checks of `optimizer`, `schedule`, `train` and `eval`."""

from __future__ import annotations

from anyclip.config.check_objectives import texts
from anyclip.config.checking import Checking
from anyclip.errors import PluginError
from anyclip.specs import EvaluationSpec

# settings of the optimizer that only some of them read
_READ_BY = {"momentum": ("sgd",), "betas": ("adamw", "adam", "lion", "lamb"), "eps": ("adamw", "adam", "lamb")}


def check_training(checking: Checking) -> None:
    """Check the optimizer, the schedule and the loop."""
    _check_optimizer(checking)
    _check_schedule(checking)
    _check_loop(checking)


def _check_optimizer(checking: Checking) -> None:
    optimizer = checking.config.optimizer
    for setting, readers in _READ_BY.items():
        if optimizer.name not in readers:
            why = f"{optimizer.name} has none; {', '.join(readers)} {'have' if len(readers) > 1 else 'has'}."
            checking.idle(("optimizer", setting), why, ("optimizer", "name"))
    if len(optimizer.betas) != 2:
        checking.add(("optimizer", "betas"), f"takes two numbers, not {len(optimizer.betas)}.")
    for i, group in enumerate(optimizer.groups):
        key = ("optimizer", "groups", i)
        if group.match == "":
            checking.add((*key, "match"), "is empty, which matches every parameter; write '.*' to mean that.")
        checking.regex(group.match, (*key, "match"))
        if group.freeze:
            for setting in ("lr_scale", "weight_decay"):
                if setting != "lr_scale" or group.lr_scale != 1.0:
                    checking.idle((*key, setting), "frozen parameters are not updated.", (*key, "freeze"))
        elif group.lr_scale == 1.0 and group.weight_decay is None:
            checking.add(key, "does nothing: it sets no lr_scale, weight_decay or freeze.")


def _check_schedule(checking: Checking) -> None:
    schedule, steps = checking.config.schedule, checking.config.train.steps
    if steps is not None and schedule.warmup_steps > steps:
        message = f"{schedule.warmup_steps} is more than the {steps} steps of the run."
        checking.add(("schedule", "warmup_steps"), message, ("train", "steps"))
    if schedule.name == "constant":
        checking.idle(("schedule", "final"), "the schedule constant never falls.", ("schedule", "name"))


def _check_loop(checking: Checking) -> None:
    config = checking.config
    train = config.train
    steps_and_epochs = ("train", "steps"), ("train", "epochs")
    if train.steps is not None and train.epochs is not None:
        checking.add(("train", "epochs"), "stands beside steps; give one of them.", *steps_and_epochs)
    if config.data.train and train.steps is None and train.epochs is None:
        checking.add(("train",), "needs steps or epochs.", *steps_and_epochs)
    if isinstance(train.devices, list) and (not train.devices or len(set(train.devices)) < len(train.devices)):
        checking.add(("train", "devices"), "must list device numbers, each once.")
    if not config.data.val:
        checking.idle(("train", "validate_every"), "there is no data.val.", ("data", "val"))
    elif not config.eval:
        checking.idle(("train", "validate_every"), "there is no evaluation under eval.", ("eval",))
    for i, name in enumerate(train.loggers):
        checking.part("logger", name, {}, ("train", "loggers", i), ("train", "loggers", i))
    if len(set(train.loggers)) < len(train.loggers):
        checking.add(("train", "loggers"), "names a logger twice.")


def check_evaluations(checking: Checking) -> None:
    """Check the evaluations: name, pair, options, and that there is data for them."""
    for i, evaluation in enumerate(checking.config.eval):
        key = ("eval", i)
        if evaluation.pair is not None and _reads_pair(checking, evaluation.name):
            checking.pair(evaluation.pair, (*key, "pair"))
        elif evaluation.pair is not None:
            checking.idle(
                (*key, "pair"), f"{evaluation.name} takes none; `anyclip options {evaluation.name}` lists its options."
            )
        checking.stream_options(evaluation.options, (*key, "options"))
        built = checking.part("evaluation", evaluation.name, evaluation.options, (*key, "name"), (*key, "options"))
        checking.asked |= set(texts(built)) | set(texts(evaluation.options))
    if checking.config.eval and checking.config.data.train and not checking.config.data.val:
        checking.idle(("eval",), "there is no data.val to evaluate on.", ("data", "val"))


def _reads_pair(checking: Checking, name: str) -> bool:
    try:
        spec = checking.registry.spec("evaluation", name)
    except PluginError:
        return True
    return not isinstance(spec, EvaluationSpec) or spec.pair
