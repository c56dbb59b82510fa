"""The `synthetic` reader: random scenes, rendered for whatever modality a stream has. Needs no file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from anyclip.errors import DataError, did_you_mean
from anyclip.readers.base import Reader
from anyclip.readers.drawing import SceneDraw, generator
from anyclip.readers.options import SyntheticOptions, SyntheticStream
from anyclip.readers.scenes import FACTORS, Scene
from anyclip.registry import get_registry
from anyclip.registry.registry import resolve


class SyntheticReader(Reader):
    """Scenes by row. A row holds the factors as plain columns; a stream's value is rendered when it is asked for.

    `value(row, "image", modality="image")` renders; `value(row, "shape")` is the factor, so that
    `fields: {label: shape}` gives class names.
    """

    def __init__(self, options: SyntheticOptions, *, base: str | None = None):
        self.options = options
        self.draw = SceneDraw(options.factors, seed=options.seed, split=options.split, couple=options.couple)
        self._renderers: dict[str, Callable[..., Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["options"])

    def __len__(self) -> int:
        return self.options.size

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        return self.scene(row).factors

    def scene(self, row: int) -> Scene:
        """The scene of a row. Raises IndexError outside 0..len-1."""
        if not 0 <= row < self.options.size:
            raise IndexError(f"row {row} of {self.options.size}")
        return self.draw.scene(row)

    def value(self, row: int, column: str, *, modality: str | None = None) -> Any:
        """A factor (no modality), or the scene rendered for a modality; None where the stream is missing."""
        scene = self.scene(row)
        if modality is None:
            if column not in FACTORS:
                hint = did_you_mean(column, self.columns(), noun="Factors")
                raise DataError(f"unknown column {column!r}.", where="synthetic", hint=hint)
            return scene.factors.get(column)
        stream = self.options.streams.get(column) or SyntheticStream()
        key = (self.options.seed, self.options.split, row, column)
        if stream.missing and generator("missing", *key).random() < stream.missing:
            return None
        return self._renderer(modality)(scene, generator("render", *key), **stream.options)

    def _renderer(self, modality: str) -> Callable[..., Any]:
        if modality not in self._renderers:
            spec = get_registry().modality(modality)
            if not spec.synthetic:
                able = [p.spec.name for p in get_registry().parts("modality") if getattr(p.spec, "synthetic", None)]
                raise DataError(
                    f"the modality {modality!r} cannot render scenes.",
                    where="synthetic",
                    hint=f"Those that can: {', '.join(able) or 'none installed'}.",
                    next="anyclip plugins",
                )
            self._renderers[modality] = resolve(spec.synthetic)
        return self._renderers[modality]

    def columns(self) -> list[str]:
        """The factors; streams are rendered under any name."""
        return list(self.draw.factors)

    def find(self, column: str, *, modality: str | None = None) -> str | None:
        """Any name for a stream that is rendered, unless all its values are missing; else a factor."""
        if modality is None:
            return super().find(column)
        stream = self.options.streams.get(column)
        return None if stream is not None and stream.missing == 1 else column

    def sample_id(self, row: int) -> str:
        return f"synthetic-{self.options.split}-{self.options.seed}/{row}"

    def fingerprint(self) -> str:
        """Digest of the options and the vocabulary: both together make every row."""
        text = json.dumps([asdict(self.options), FACTORS], sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
