"""The hooks a plugin implements. Each is a generator of specs; none may import torch.

All hooks fire once, when the registry is first asked for anything (`anyclip plugins`, a config check, a run).
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from anyclip.specs import (
    CommandSpec,
    EvaluationSpec,
    ImporterSpec,
    LoggerSpec,
    LossSpec,
    ModalitySpec,
    ObjectiveSpec,
    ReaderSpec,
    SamplerSpec,
    SimilaritySpec,
    TowerSpec,
)

GROUP = "anyclip"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def anyclip_modalities() -> Iterable[ModalitySpec]:
    """Kinds of input: file suffixes, decode, preview, synthetic renderer, prompts.

    Its functions are imported when a reader, a report or the synthetic reader first needs one.
    """
    return ()


@hookspec
def anyclip_towers() -> Iterable[TowerSpec]:
    """Encoders, named `<modality>/<name>`.

    The target is imported and built when a model with it is built, on every process.
    """
    return ()


@hookspec
def anyclip_losses() -> Iterable[LossSpec]:
    """Functions of one pair's scores.

    The target is imported and built when the objectives of a run are built; it is called in every step.
    """
    return ()


@hookspec
def anyclip_similarities() -> Iterable[SimilaritySpec]:
    """Ways to score a pair.

    The target is imported and built with the objectives of a run, and by evaluations of the pair.
    """
    return ()


@hookspec
def anyclip_objectives() -> Iterable[ObjectiveSpec]:
    """Terms of the training loss that are not a loss on a pair.

    The target is imported and built with the objectives of a run; it is called in every step, and after it.
    """
    return ()


@hookspec
def anyclip_readers() -> Iterable[ReaderSpec]:
    """Sources of undecoded samples.

    The target is imported and built when a run opens its data; copies of it travel to loader workers.
    """
    return ()


@hookspec
def anyclip_samplers() -> Iterable[SamplerSpec]:
    """Orders of the training samples.

    The target is imported and built, on every process, when a run that names it opens its data.
    """
    return ()


@hookspec
def anyclip_evaluations() -> Iterable[EvaluationSpec]:
    """Measures of a trained model.

    The target is imported and built at each validation of a run and by `anyclip eval`.
    """
    return ()


@hookspec
def anyclip_importers() -> Iterable[ImporterSpec]:
    """Published checkpoint layouts.

    The target is imported and called by `anyclip import` and `anyclip.import_checkpoint`.
    """
    return ()


@hookspec
def anyclip_commands() -> Iterable[CommandSpec]:
    """Sub-commands of `anyclip`.

    The target is imported when the command is typed, or its own help is asked for.
    """
    return ()


@hookspec
def anyclip_loggers() -> Iterable[LoggerSpec]:
    """Receivers of metrics during training.

    The target is imported and built on the first process when a run that names it starts.
    """
    return ()


# hook name -> kind of spec it yields
HOOKS: dict[str, str] = {
    "anyclip_modalities": "modality",
    "anyclip_towers": "tower",
    "anyclip_losses": "loss",
    "anyclip_similarities": "similarity",
    "anyclip_objectives": "objective",
    "anyclip_readers": "reader",
    "anyclip_samplers": "sampler",
    "anyclip_evaluations": "evaluation",
    "anyclip_importers": "importer",
    "anyclip_commands": "command",
    "anyclip_loggers": "logger",
}
