"""What the audio systems share: checkpoints through import and folder, inputs, watched runs."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anyclip_audio.front import log_spectrogram
from anyclip_audio.lengths import fusion_views, quantise
from anyclip_audio.processor import AudioProcessor
from parity_audio_golden import Watch, close, statistics
from torch import Tensor

from anyclip.checkpoint import open_model
from anyclip.checkpoint.importing import import_checkpoint_file
from anyclip.config import Config
from anyclip.model import JointModel
from anyclip.testing.reference import Difference

Recorded = Mapping[str, Any]


@contextmanager
def imported(layout: str, saved: Any, **options: Any) -> Iterator[tuple[JointModel, Config]]:
    """The model of a checkpoint as its author saves it, imported and opened again from the written folder.

    saved: what `torch.save` gets, or a function that writes a folder.
    """
    with tempfile.TemporaryDirectory(prefix="anyclip-parity-") as folder:
        source = Path(folder) / "checkpoint.pt"
        if callable(saved):
            source = Path(folder) / "published"
            saved(source)
        else:
            torch.save(saved, source)
        import_checkpoint_file(layout, source, Path(folder) / "model", options=options)
        yield open_model(Path(folder) / "model")


def loaded(model: JointModel, values: Sequence[Any]) -> Any:
    """The collated inputs of sounds, from their samples on."""
    processor = model.processor("audio")
    return processor.collate([processor.load(value) for value in values])


def waveform(model: JointModel, value: Any) -> Tensor:
    """What the model's waveform is after length and quantisation, [S]."""
    processor = copy.copy(model.processor("audio"))
    processor.in_model = True  # the processor then gives samples instead of their spectrogram
    processor.front = replace(processor.front, fusion=False)
    return processor.load(value)["x"][0]


def spectrum(model: JointModel, value: Any) -> Tensor:
    """The power spectrogram before the mel bands [T, K]."""
    front = replace(model.processor("audio").front, n_mels=0, log="db", standardise=False)
    return 10.0 ** (log_spectrogram(waveform(model, value), front).double() / 10.0)


def fused(processor: AudioProcessor, wave: np.ndarray, starts: Sequence[int], *, antialias: bool) -> Tensor:
    """The four views of a long sound [4, T, M] with the windows at `starts`, where the origin drew them."""
    front = processor.front
    samples = torch.from_numpy(quantise(wave) if front.quantise else wave)
    a, b, c = (int(start) for start in starts)
    return fusion_views(log_spectrogram(samples, front), front.frames, (a, b, c), antialias=antialias)


def watched(
    model: JointModel, stream: str, inputs: Any, data: Recorded, names: Mapping[str, str]
) -> tuple[Any, Tensor, list[Difference]]:
    """Encoding, features and the comparison of every checkpoint of the file that `names` maps to a submodule."""
    with torch.no_grad(), Watch(model, names) as seen:
        encoding = model.encode(stream, inputs)
        features = model.features(stream, encoding)
    lacking = [label for label in names if label not in seen]
    assert not lacking, f"not reached: {lacking}"
    compared = [d for label, x in seen.items() for d in statistics(label, x, data["checkpoints"][label])]
    return encoding, features, compared


def summary(name: str, found: Tensor, want: Recorded) -> list[Difference]:
    """A waveform against its recorded length, sum of sizes, first and last values."""
    found = found.double()
    compared = []
    if "len" in want:
        compared.append(close(f"{name} length", len(found), want["len"], atol=0.5, rtol=0.0))
    if "first4" in want:
        compared.append(close(f"{name} first 4", found[:4], want["first4"], atol=1e-7))
    compared.append(close(f"{name} last 4", found[-4:], want["last4"], atol=1e-7))
    compared.append(close(f"{name} sum", found.abs().sum(), want["sum_abs"], atol=0.0, rtol=1e-6))
    return compared


def text_inputs(ids: Sequence[Sequence[int]], mask: Sequence[Sequence[int]] | None = None) -> dict[str, Tensor]:
    """Given token ids as a text processor would collate them; mask 0: padding."""
    rows = torch.tensor(ids)
    return {"ids": rows, "mask": torch.ones_like(rows, dtype=torch.bool) if mask is None else torch.tensor(mask).bool()}


def padded(inputs: Mapping[str, Tensor], length: int, pad: int) -> dict[str, Tensor]:
    """The same texts filled up to `length` tokens."""
    missing = length - inputs["ids"].shape[1]
    filled = torch.nn.functional.pad
    return {"ids": filled(inputs["ids"], (0, missing), value=pad), "mask": filled(inputs["mask"], (0, missing))}
