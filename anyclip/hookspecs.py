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
    SimilaritySpec,
    TowerSpec,
)

GROUP = "anyclip"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def anyclip_modalities() -> Iterable[ModalitySpec]:
    """Kinds of input: file suffixes, decode, preview, synthetic renderer, prompts."""
    return ()


@hookspec
def anyclip_towers() -> Iterable[TowerSpec]:
    """Encoders, named `<modality>/<name>`."""
    return ()


@hookspec
def anyclip_losses() -> Iterable[LossSpec]:
    """Functions of one pair's scores."""
    return ()


@hookspec
def anyclip_similarities() -> Iterable[SimilaritySpec]:
    """Ways to score a pair."""
    return ()


@hookspec
def anyclip_objectives() -> Iterable[ObjectiveSpec]:
    """Terms of the training loss that are not a loss on a pair."""
    return ()


@hookspec
def anyclip_readers() -> Iterable[ReaderSpec]:
    """Sources of undecoded samples."""
    return ()


@hookspec
def anyclip_evaluations() -> Iterable[EvaluationSpec]:
    """Measures of a trained model."""
    return ()


@hookspec
def anyclip_importers() -> Iterable[ImporterSpec]:
    """Published checkpoint layouts."""
    return ()


@hookspec
def anyclip_commands() -> Iterable[CommandSpec]:
    """Sub-commands of `anyclip`."""
    return ()


@hookspec
def anyclip_loggers() -> Iterable[LoggerSpec]:
    """Receivers of metrics during training."""
    return ()


# hook name -> kind of spec it yields
HOOKS: dict[str, str] = {
    "anyclip_modalities": "modality",
    "anyclip_towers": "tower",
    "anyclip_losses": "loss",
    "anyclip_similarities": "similarity",
    "anyclip_objectives": "objective",
    "anyclip_readers": "reader",
    "anyclip_evaluations": "evaluation",
    "anyclip_importers": "importer",
    "anyclip_commands": "command",
    "anyclip_loggers": "logger",
}
