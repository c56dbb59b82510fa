"""A trained model as users hold it: values in, vectors out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.errors import UserError, did_you_mean
from anyclip.inference import embed_values
from anyclip.registry import get_registry

if TYPE_CHECKING:
    from anyclip.config import Config
    from anyclip.model import JointModel


class Model:
    """Embeds values of its streams into the joint space.

    joint: the torch module. config: what it was built from. path: where it was opened, None when it was not.
    """

    def __init__(self, joint: JointModel, config: Config, *, path: Path | None = None):
        self.joint, self.config, self.path = joint.eval(), config, path

    @property
    def dim(self) -> int:
        """Width E of the joint space."""
        return self.joint.dim

    @property
    def streams(self) -> list[str]:
        return list(self.joint.streams)

    @property
    def modalities(self) -> dict[str, str]:
        """Stream -> modality."""
        return {stream: self.joint.modality(stream) for stream in self.streams}

    @property
    def device(self) -> torch.device:
        return next((p.device for p in self.joint.parameters()), torch.device("cpu"))

    def supports(self, *names: str) -> bool:
        """Whether `embed` takes each of these streams or modalities."""
        return all(name in self.streams or list(self.modalities.values()).count(name) == 1 for name in names)

    def to(self, device: torch.device | str) -> Model:
        self.joint.to(device)
        return self

    def __repr__(self) -> str:
        streams = ", ".join(f"{s}: {m}" if s != m else s for s, m in self.modalities.items())
        return f"<anyclip.Model {streams}; dim {self.dim}>"

    def stream(self, name: str) -> str:
        """The stream of that name, or the only one of that modality. Raises UserError with the nearest."""
        if name in self.streams:
            return name
        of_modality = [s for s, m in self.modalities.items() if m == name]
        if len(of_modality) == 1:
            return of_modality[0]
        if of_modality:
            raise UserError(f"the streams {' and '.join(of_modality)} are both {name}.", hint="Name the one you mean.")
        raise UserError(f"the model has no stream {name!r}.", hint=did_you_mean(name, self.streams, noun="Streams"))

    def embed(
        self,
        *,
        batch_size: int = 64,
        device: torch.device | str | None = None,
        normalize: bool = True,
        dim: int | None = None,
        progress: bool = False,
        workers: int = 0,
        errors: Literal["raise", "nan", "skip"] = "raise",
        **values: Any,
    ) -> dict[str, Tensor]:
        """Vectors of values, stream by stream: `embed(audio=["dog.wav"], text=["a dog", "rain"])`.

        Args:
            values: stream (or its modality, when only one stream has it) -> a list of values, or a single value: a
                path, bytes, an array, a string where strings are values; `(array, rate)` for arrays with a rate.
            batch_size: values encoded at a time; the result does not depend on it beyond rounding.
            device: where to run; the model stays there.
            normalize: unit length; False: raw features.
            dim: keep the first `dim` numbers (then normalised again), for models trained to allow it.
            progress: show a bar.
            workers: threads that decode ahead of the model.
            errors: what to do with a value that cannot be used: `raise` a UserError, a row of `nan`, or `skip` it
                (the rows that remain are fewer).

        Returns: the names as given -> float32 [number of values, E or dim] on the CPU.
        """
        self._check_call(values, dim, errors)
        if device is not None:
            from anyclip.api.loading import pick_device

            self.to(pick_device(device))
        options: dict[str, Any] = {"batch_size": batch_size, "workers": workers, "progress": progress}
        found = {}
        for name, given in values.items():
            listed = as_values(given, keep_paths=self._is_text(name))
            vectors, bad = self.embed_reporting(self.stream(name), listed, normalize=normalize, dim=dim, **options)
            if bad and errors == "raise":
                raise _bad_values(name, listed, bad)
            if bad and errors == "skip":
                dropped = {i for i, _ in bad}
                vectors = vectors[[i for i in range(len(listed)) if i not in dropped]]
            found[name] = vectors
        return found

    def embed_reporting(
        self,
        stream: str,
        values: Sequence[Any],
        *,
        normalize: bool = True,
        dim: int | None = None,
        batch_size: int = 64,
        workers: int = 0,
        progress: bool = False,
    ) -> tuple[Tensor, list[tuple[int, str]]]:
        """`embed` of one stream: (vectors [N, dim], rows of nan for bad values; (position, reason) of those)."""
        options: dict[str, Any] = {"batch_size": batch_size, "workers": workers, "progress": progress}
        embedded = embed_values(self.joint, stream, values, normalize=normalize, **options)
        vectors = embedded.vectors
        if dim is not None:
            vectors = F.normalize(vectors[:, :dim], dim=-1) if normalize else vectors[:, :dim]
        whole = torch.full((len(values), vectors.shape[1]), torch.nan)
        whole[embedded.rows] = vectors
        return whole, embedded.errors

    def similarity(self, **options: Any) -> Tensor | dict[tuple[str, str], Tensor]:
        """Cosine similarity of every value of one stream with every value of another.

        Takes the arguments of `embed`. Two streams give [Na, Nb] in the order named; more give a dict with a matrix
        for every pair of them. One stream alone is compared with itself.
        """
        vectors = self.embed(**{**options, "normalize": True})
        names = list(vectors)
        if len(names) == 1:
            return vectors[names[0]] @ vectors[names[0]].T
        if len(names) == 2:
            return vectors[names[0]] @ vectors[names[1]].T
        return {(a, b): vectors[a] @ vectors[b].T for a, b in combinations(names, 2)}

    def digest(self) -> str:
        """Identity of what embeds: every weight and every processor's settings. Equal digests give equal vectors."""
        digest = hashlib.blake2b(digest_size=16)
        for name, tensor in _state(self.joint):
            digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
        for stream in self.streams:
            digest.update(f"{stream}{self.joint.processor(stream).key()}".encode())
        return digest.hexdigest()

    def save(self, path: str | Path) -> Path:
        """Write a model folder that `anyclip.load` opens."""
        from anyclip.checkpoint import save_model_folder

        return save_model_folder(path, self.joint, self.config)

    def _is_text(self, name: str) -> bool:
        return get_registry().modality(self.joint.modality(self.stream(name))).string_is_value

    def _check_call(self, values: dict[str, Any], dim: int | None, errors: str) -> None:
        if errors not in ("raise", "nan", "skip"):
            raise UserError(f"errors={errors!r} is not known.", hint=did_you_mean(errors, ("raise", "nan", "skip")))
        if dim is not None and not 0 < dim <= self.dim:
            raise UserError(f"dim={dim} is not between 1 and the model's width {self.dim}.")
        if not values:
            raise UserError("nothing to embed.", hint=f"Name a stream: embed({self.streams[0]}=[...]).")
        for name in values:
            self.stream(name)


def as_values(given: Any, *, keep_paths: bool = False) -> list[Any]:
    """A list (or an iterator) holds several values; anything else is one.

    Path objects become strings, except where a string is the value itself (keep_paths).
    """
    listed = list(given) if isinstance(given, (list, Iterator, range)) else [given]
    return listed if keep_paths else [os.fspath(v) if isinstance(v, os.PathLike) else v for v in listed]


def _state(joint: JointModel) -> Iterator[tuple[str, Tensor]]:
    from anyclip.checkpoint.tensors import module_state

    return iter(sorted(module_state(joint).items()))


def _bad_values(name: str, values: Sequence[Any], errors: list[tuple[int, str]]) -> UserError:
    position, reason = errors[0]
    value = values[position]
    where = f"{name}[{position}]" + (f" ({value})" if isinstance(value, str) and len(value) < 200 else "")
    more = f" {len(errors) - 1} more of {len(values)} values cannot be used either." if len(errors) > 1 else ""
    hint = "errors='nan' or errors='skip' goes on without them."
    return UserError(f"{reason}.{more}", where=where, hint=hint)
