"""Checks of a modality: file endings, decode, preview, synthetic scenes, prompts."""

from __future__ import annotations

import re
from typing import Any

from anyclip.errors import BadSample
from anyclip.readers import Blob
from anyclip.readers.drawing import SceneDraw, generator
from anyclip.readers.scenes import FACTORS, Scene
from anyclip.registry.registry import resolve
from anyclip.testing.checks_processor import GARBAGE
from anyclip.testing.compare import same
from anyclip.testing.kit import Check, Fault, NotApplicable, check, describe_error
from anyclip.testing.subjects import ModalitySubject, rendered

MODALITY: list[Check] = []


@check(MODALITY)
def suffixes_are_plain(subject: ModalitySubject) -> str:
    """File endings are lower case and begin with a dot."""
    spec = subject.modality_spec
    for suffix in spec.suffixes:
        if not re.fullmatch(r"(\.[a-z0-9_+-]+)+", suffix):
            raise Fault(f"the suffix {suffix!r} would never match.", "write it in lower case with its dot: '.wav'")
    return ", ".join(spec.suffixes[:6]) or "none"


def _function(subject: ModalitySubject, name: str) -> Any:
    target = getattr(subject.modality_spec, name)
    if not target:
        raise NotApplicable(f"it has no `{name}`")
    return resolve(target, owner=subject.part)


def _scene(row: int = 0) -> Scene:
    return SceneDraw(list(FACTORS), seed=3, split="all").scene(row)


@check(MODALITY)
def scenes_are_rendered(subject: ModalitySubject) -> None:
    """A scene and a generator decide the value; every factor is optional; other scenes look otherwise."""
    render = _function(subject, "synthetic")
    one, two = (render(_scene(), generator("a")) for _ in range(2))
    if not same(one, two):
        raise Fault("the same scene and generator give another value.", "draw from `rng` only")
    for factors in ({}, {"colour": "red"}, {"motion": "moving left"}, {"pitch": "low"}):
        try:
            render(Scene(factors), generator("a"))
        except Exception as error:
            raise Fault(
                f"a scene with {', '.join(factors) or 'no factor'} raises {describe_error(error)}",
                "read factors with scene.factors.get(name, default)",
            ) from error
    values = [render(_scene(row), generator("a")) for row in range(8)]
    if all(same(values[0], value) for value in values[1:]):
        raise Fault("eight different scenes look the same.", "show at least one factor of the vocabulary")


@check(MODALITY)
def values_decode(subject: ModalitySubject) -> None:
    """`decode` takes what the renderer gives; damaged bytes raise BadSample."""
    decode = _function(subject, "decode")
    for value in _values(subject):
        decode(value)
    try:
        decode(Blob(GARBAGE, "damaged"))
    except BadSample:
        return
    except Exception as error:
        raise Fault(f"damaged bytes raise {describe_error(error)}", "raise anyclip.BadSample(reason)") from error
    raise Fault("damaged bytes decode to something.", "raise anyclip.BadSample(reason)")


@check(MODALITY)
def preview_is_self_contained(subject: ModalitySubject) -> str:
    """`preview` gives HTML that loads nothing and escapes what it quotes."""
    preview = _function(subject, "preview")
    sizes = []
    for value in _values(subject):
        html = preview(value)
        if not isinstance(html, str) or "<" not in html:
            raise Fault(f"preview gives {html!r:.60}, not HTML.", "return a string such as '<svg ...>...</svg>'")
        if re.search(r"""(src|href)\s*=\s*["']?(https?:|//|file:)|<script""", html):
            raise Fault("the preview loads something or runs a script.", "embed data: URLs or inline SVG")
        sizes.append(len(html))
    return f"up to {max(sizes):,} characters"


@check(MODALITY)
def content_keys_tell_values_apart(subject: ModalitySubject) -> None:
    """`content_key` is the same for the same value and another for another."""
    key = _function(subject, "content_key")
    values = _values(subject)
    keys = [key(value) for value in values]
    if keys != [key(value) for value in values]:
        raise Fault("a value has another key the second time.", "digest the content")
    if len(set(keys)) < 2:
        raise Fault("different values have the same key.", "digest the whole content")


def _values(subject: ModalitySubject) -> list[Any]:
    if not subject.modality_spec.synthetic:
        raise NotApplicable("there are no values: it renders no scenes")
    return rendered(subject.part.spec.name, 4)


@check(MODALITY)
def prompts_name_the_class(subject: ModalitySubject) -> str:
    """Each prompt has a place `{}` for the class."""
    prompts = subject.modality_spec.prompts
    if not prompts:
        raise NotApplicable("it has no prompts")
    wrong = [p for p in prompts if p.count("{}") != 1]
    if wrong:
        raise Fault(
            f"the prompt {wrong[0]!r} has no single place for the class.", "write {} once, as in 'a photo of {}'"
        )
    return f"{len(prompts)}"
