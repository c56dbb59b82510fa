"""Checks of `model`: towers, what they share, their projections."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from anyclip.config.checking import Checking
from anyclip.config.normalize import projection
from anyclip.config.schema import TowerConfig
from anyclip.config.source import Key
from anyclip.errors import did_you_mean
from anyclip.specs import TowerPart, TowerRef

_STREAM = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
# settings of a tower that a `ref` shares
_OWNED = ("options", "init", "init_projection", "freeze", "lora", "checkpointing", "cache")


def check_model(checking: Checking) -> dict[str, set[str]]:
    """Check the towers. Returns, per stream, the streams whose tower it takes part of or shares."""
    towers = checking.config.model.towers
    if not towers:
        checking.add(("model", "towers"), "is empty: a model has at least one tower.")
    links: dict[str, set[str]] = {stream: set() for stream in towers}
    for stream, tower in towers.items():
        key = ("model", "towers", stream)
        if not _STREAM.fullmatch(stream):
            checking.add(key, f"bad stream name {stream!r}: letters, digits, '_' and '-', a letter first.")
        built = _check_source(checking, stream, tower, key)
        _check_settings(checking, tower, key)
        _check_cache(checking, tower, built, key)
        found = [] if built is None else _tower_refs(built, (*key, "options"))
        _check_parts(checking, built, (*key, "options"))
        if tower.ref is not None:
            found.append(((*key, "ref"), tower.ref))
        for ref_key, ref in found:
            if _check_ref(checking, stream, ref, ref_key):
                links[stream].add(ref)
    _check_cycles(checking, links)
    if towers and checking.config.data.train and all(_is_frozen(tower) for tower in towers.values()):
        about = [("model", "towers", s) for s in towers]
        checking.add(("model", "towers"), "every tower and projection is frozen: nothing is left to train.", *about)
    return links


def check_use_of_towers(checking: Checking, used: set[str] | None, links: Mapping[str, set[str]]) -> None:
    """Refuse towers that no objective needs, directly or through another tower; `used` None: cannot be told.

    A frozen tower with weights of its own (`init`) may stay: evaluations compare it with what is trained.
    """
    if used is None:
        return
    reached, open_ = set(used), list(used)
    while open_:
        new = links.get(open_.pop(), set()) - reached
        reached |= new
        open_ += new
    for stream in checking.streams:
        tower = checking.config.model.towers[stream]
        if stream not in reached and not (tower.init is not None and _is_frozen(tower)):
            message = "does nothing: no objective uses this tower. Add a pair with it, or take it out; "
            message += "or freeze it and give it `init`."
            checking.add(("model", "towers", stream), message, ("objectives",))


def _check_source(checking: Checking, stream: str, tower: TowerConfig, key: Key) -> Any:
    """The tower comes from a name or another stream. Returns the built options, or None."""
    if tower.name is not None and tower.ref is not None:
        checking.add(key, "has both name and ref; a tower is either its own or another stream's.")
        return None
    if tower.name is not None:
        return checking.part("tower", tower.name, tower.options, (*key, "name"), (*key, "options"))
    if tower.ref is None:
        checking.add(key, "needs a name, or a ref to another stream.", (*key, "name"), (*key, "ref"))
        return None
    for setting in _OWNED:
        checking.idle((*key, setting), f"the tower belongs to {tower.ref}; set it there.")
    return None


def _check_ref(checking: Checking, stream: str, ref: str, key: Key) -> bool:
    if ref in checking.config.model.towers:
        return True
    streams = [name for name in checking.streams if name != stream]
    checking.add(key, f"no stream {ref!r}. {did_you_mean(ref, streams, noun='Streams')}", ("model", "towers"))
    return False


def _check_settings(checking: Checking, tower: TowerConfig, key: Key) -> None:
    if isinstance(tower.freeze, list):
        for i, text in enumerate(tower.freeze):
            checking.regex(text, (*key, "freeze", i))
    if tower.lora is not None:
        for i, text in enumerate(tower.lora.match):
            checking.regex(text, (*key, "lora", "match", i))
        checking.idle((*key, "freeze"), "with lora the tower's own weights stay anyway.", (*key, "lora"))
    if tower.checkpointing and tower.freeze is True:
        checking.idle((*key, "checkpointing"), "a frozen tower keeps no activations.", (*key, "freeze"))
    if tower.init_projection and tower.init is None:
        checking.add((*key, "init_projection"), "needs init: a run or model folder that holds the projection.")
    if tower.share_projection:
        if tower.ref is None:
            checking.idle((*key, "share_projection"), "there is no ref to another stream.", (*key, "ref"))
        for setting in ("projection", "freeze_projection"):
            checking.idle((*key, setting), f"share_projection takes the projection of {tower.ref}.")
        return
    layer, layer_key = projection(tower.projection), (*key, "projection")
    for setting, owners in (("hidden", ["mlp"]), ("activation", ["mlp"]), ("dropout", ["mlp", "residual"])):
        given = getattr(layer, setting) not in (None, 0.0, "gelu")
        if given and layer.name not in owners:
            others = f"{' and '.join(owners)} {'has' if len(owners) == 1 else 'have'} one"
            checking.idle((*layer_key, setting), f"a projection {layer.name} has none; {others}.")
    if layer.name == "identity":
        checking.idle((*layer_key, "bias"), "a projection identity has no parameters.")
        if layer.normalize_inputs:
            checking.idle((*layer_key, "normalize_inputs"), "a projection identity passes vectors on as they are.")
        checking.idle((*key, "freeze_projection"), "a projection identity has no parameters.", layer_key)


def _check_cache(checking: Checking, tower: TowerConfig, built: Any, key: Key) -> None:
    """A cached tower never learns, and its processor draws nothing."""
    if not tower.cache or tower.name is None:
        return
    if tower.freeze is not True:
        message = "needs freeze: true: vectors of a tower that learns would be out of date after one step."
        checking.add((*key, "cache"), message, (*key, "freeze"))
    if getattr(built, "deterministic", None) is False:
        message = f"the options of {tower.name} augment its values, so that no value has one vector. Switch that off."
        checking.add((*key, "cache"), message, (*key, "options"))


def _is_frozen(tower: TowerConfig) -> bool:
    still = tower.freeze_projection or tower.share_projection or projection(tower.projection).name == "identity"
    return still and (tower.freeze is True or tower.ref is not None)


def _tower_refs(options: Any, key: Key) -> list[tuple[Key, str]]:
    """Every reference to a stream's tower inside built options, with its key."""
    if isinstance(options, (TowerRef, TowerPart)):
        inner = _tower_refs(options.options, (*key, "options")) if isinstance(options, TowerPart) else []
        return inner if options.ref is None else [((*key, "ref"), options.ref)]
    if is_dataclass(options) and not isinstance(options, type):
        return [found for f in fields(options) for found in _tower_refs(getattr(options, f.name), (*key, f.name))]
    if isinstance(options, Mapping):
        return [found for k, v in options.items() for found in _tower_refs(v, (*key, k))]
    if isinstance(options, (list, tuple)):
        return [found for i, v in enumerate(options) for found in _tower_refs(v, (*key, i))]
    return []


def _check_parts(checking: Checking, options: Any, key: Key) -> None:
    """Check the name and options of every TowerPart inside built options."""
    if isinstance(options, TowerPart):
        if options.name is None:
            return
        inner = checking.part("tower", options.name, options.options, (*key, "name"), (*key, "options"))
        _check_parts(checking, inner, (*key, "options"))
    elif is_dataclass(options) and not isinstance(options, type):
        for f in fields(options):
            _check_parts(checking, getattr(options, f.name), (*key, f.name))


def _check_cycles(checking: Checking, links: Mapping[str, set[str]]) -> None:
    """Name each circle of references once, at its first stream."""
    done: set[str] = set()

    def walk(stream: str, path: list[str]) -> None:
        if stream in path:
            circle = path[path.index(stream) :]
            if not done & set(circle):
                text = " -> ".join([*circle, stream])
                checking.add(("model", "towers", circle[0]), f"references go in a circle: {text}.")
            done.update(circle)
            return
        for ref in sorted(links[stream]):
            if ref not in done:
                walk(ref, [*path, stream])
        done.add(stream)

    for stream in links:
        if stream not in done:
            walk(stream, [])
