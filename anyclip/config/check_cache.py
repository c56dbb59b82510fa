"""Checks of `cache: true` against the objectives: a stored vector is all that they see of the tower."""

from __future__ import annotations

from collections.abc import Iterator

from anyclip.config.check_objectives import texts
from anyclip.config.checking import Checking
from anyclip.config.normalize import named
from anyclip.config.schema import ObjectiveConfig
from anyclip.config.source import Key
from anyclip.errors import PluginError
from anyclip.specs import ObjectiveSpec, SimilaritySpec


def check_cache(checking: Checking) -> None:
    """Refuse objectives that read tokens of a cached tower, or run it again."""
    cached = {stream for stream in checking.streams if _is_cached(checking, stream)}
    for i, objective in enumerate(checking.config.objectives if cached else ()):
        streams = set(objective.pair or ()) | (set(texts(objective.options)) if objective.name else set())
        for stream in sorted({name.partition("#")[0] for name in streams} & cached):
            for key, why in _reads_more(checking, objective, ("objectives", i)):
                message = f"the tower is not run in training, but {why}. Leave cache out, or choose another objective."
                checking.add(("model", "towers", stream, "cache"), message, key)


def _is_cached(checking: Checking, stream: str) -> bool:
    """By its own setting, or that of the stream whose tower it shares."""
    seen: set[str] = set()
    towers = checking.config.model.towers
    while (ref := towers[stream].ref) is not None and ref in towers and stream not in seen:
        seen.add(stream)
        stream = ref
    return towers[stream].cache


def _reads_more(checking: Checking, objective: ObjectiveConfig, key: Key) -> Iterator[tuple[Key, str]]:
    try:
        if objective.name is not None:
            spec = checking.registry.spec("objective", objective.name)
            if isinstance(spec, ObjectiveSpec) and not spec.cacheable:
                yield (*key, "name"), f"the objective {spec.name} runs it again"
            elif isinstance(spec, ObjectiveSpec) and spec.tokens:
                yield (*key, "name"), f"the objective {spec.name} reads its tokens"
        if objective.pair is not None:
            spec = checking.registry.spec("similarity", named(objective.similarity).name)
            if isinstance(spec, SimilaritySpec) and spec.tokens:
                yield (*key, "similarity"), f"the similarity {spec.name} reads its tokens"
    except PluginError:
        return  # said where the name stands
