"""The processor of every video tower: choose frames, decode only those, transform all alike, normalise per batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from anyclip_image.processor import choose_pixel_backend
from anyclip_image.transform import PixelTransform, Preprocess
from torch import Tensor

from anyclip.processors import Processor
from anyclip_video.decode import Request, read_windows
from anyclip_video.options import VideoOptions
from anyclip_video.sampling import Sampling
from anyclip_video.sources import require_backend

Sample = dict[str, Tensor]


class VideoProcessor(Processor):
    """Path, URL, bytes, array [T, H, W, 3], folder or list of frames -> {"frames", "mask"}.

    `collate` gives {"frames": float32 [B, T, 3, H, W], "mask": bool [B, T]}, True = a real frame; T is always the
    `frames` of the options. With `sampling: dense` and `windows` above 1: {"frames": [B, N, T, 3, H, W],
    "mask": [B, N, T], "windows": bool [B, N]}; see `anyclip_video.windows`.

    Args:
        preprocess: what the frame model declares about its input.
        frames: frames that the model takes, where the options do not say.
    """

    def __init__(self, preprocess: Preprocess, options: VideoOptions, *, frames: int = 12):
        self.transform = PixelTransform.of(preprocess, options, by_torch=choose_pixel_backend("auto") == "torchvision")
        self.sampling = Sampling.of(options, frames)
        self.request = Request(require_backend(options.backend), options.threads, options.max_pixels)

    @property
    def frames(self) -> int:
        """Frames T of a clip."""
        return self.sampling.frames

    @property
    def preprocess(self) -> Preprocess:
        """What the model declares, with the user's changes."""
        return self.transform.preprocess

    @property
    def deterministic(self) -> bool:
        return self.transform.deterministic and not self.sampling.draws

    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> Sample:
        """{"frames": uint8 [N, T, 3, H, W], "mask": bool [N, T]}; `rng` None: evaluation. Raises BadSample."""
        same = None if rng is None else int(rng.integers(2**63))  # the same draws for every frame

        def shrink(pixels: np.ndarray) -> np.ndarray:
            draw = None if same is None else np.random.Generator(np.random.Philox(same))
            return self.transform(pixels, draw)

        windows = read_windows(value, self.sampling, self.request, rng=rng, shrink=shrink)
        frames = np.zeros((len(windows), self.frames, *self.preprocess.size, 3), dtype=np.uint8)
        mask = torch.zeros(frames.shape[:2], dtype=torch.bool)
        for n, window in enumerate(windows):
            frames[n, : len(window)] = window
            mask[n, : len(window)] = True
        return {"frames": torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 1, 4, 2, 3))), "mask": mask}

    def collate(self, samples: list[Sample]) -> dict[str, Tensor]:
        """Samples -> inputs, normalised; black and masked where a clip has fewer frames or windows."""
        most = max(len(sample["mask"]) for sample in samples)
        frames = samples[0]["frames"].new_zeros(len(samples), most, *samples[0]["frames"].shape[1:])
        mask = torch.zeros(len(samples), most, self.frames, dtype=torch.bool)
        for row, sample in enumerate(samples):
            frames[row, : len(sample["mask"])] = sample["frames"]
            mask[row, : len(sample["mask"])] = sample["mask"]
        pixels = self.transform.normalise(frames)
        if self.sampling.windows == 1:
            return {"frames": pixels[:, 0], "mask": mask[:, 0]}
        return {"frames": pixels, "mask": mask, "windows": mask.any(dim=2)}

    def placeholder(self) -> Sample:
        shape = (1, self.frames, 3, *self.preprocess.size)
        return {"frames": torch.zeros(shape, dtype=torch.uint8), "mask": torch.ones(1, self.frames, dtype=torch.bool)}
