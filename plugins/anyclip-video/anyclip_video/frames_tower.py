"""`video/frames`: any image tower on every frame, then a temporal head and the mean over frames.

Luo et al. 2021 (CLIP4Clip), arXiv 2104.08860.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from anyclip_image.processor import ImageProcessor
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from anyclip.errors import UserError
from anyclip.model.buffers import buffers_kept
from anyclip.towers import Encoding, Tower, create_inner_tower
from anyclip_video.heads import build_head
from anyclip_video.patch_stem import PatchStem, given_patches, patch_convolution
from anyclip_video.processor import VideoProcessor
from anyclip_video.tower_options import FramesOptions
from anyclip_video.windows import flat_windows, mean_of_windows

_FRAME = "frame"  # the attribute, the option and the folder of assets of the frame tower


class FramesTower(Tower):
    """The image tower in `frame`, a temporal head in `head`, with `stem: 3d` a convolution over time in `stem`.

    Inputs as `VideoProcessor` collates them. `pooled` is the mean over the real frames (of unit vectors, with
    `normalize`); `tokens` [B, T, W] are the frames with their mask.
    """

    modality = "video"
    processor: VideoProcessor

    def __init__(self, options: FramesOptions, frame: Tower, *, own: bool = True):
        super().__init__()
        if not isinstance(getattr(frame, "processor", None), ImageProcessor):
            raise UserError(f"frame: {type(frame).__name__} is no tower of pictures.", hint="Use an image/... tower.")
        self.options = options
        self.frame, self.width, self._own = frame, frame.width, own
        self.stem = PatchStem(patch_convolution(frame)) if options.stem == "3d" else None
        if self.stem is not None and own:  # the frame tower's own convolution is not used any more
            patch_convolution(frame).weight.requires_grad_(False)
        self.head = build_head(options, frame.width)
        self.processor = VideoProcessor(frame.processor.preprocess, options)  # type: ignore[attr-defined]

    @classmethod
    def from_options(
        cls,
        options: FramesOptions,
        *,
        refs: Mapping[str, Tower] | None = None,
        assets: Path | None = None,
        load_weights: bool = True,
    ) -> FramesTower:
        """Build the frame tower, or take another stream's."""
        frame = create_inner_tower(options.frame, at=_FRAME, refs=refs, assets=assets, load_weights=load_weights)
        return cls(options, frame, own=options.frame.ref is None)

    def forward(self, inputs: Mapping[str, Tensor], *, mask: Tensor | None = None) -> Encoding:
        """mask [B, T], True = drop the frame (one window per row only)."""
        frames, real, windows = flat_windows(inputs)
        if mask is not None:
            if windows is not None:
                raise UserError("video/frames drops frames of a single window only.", hint="Set windows to 1.")
            real = real & ~mask
        vectors = self.frame_vectors(frames, real)
        temporal = self.head(vectors, real)
        pooled = mean_of_windows(self._mean(temporal, real), windows)
        tokens = temporal if self.options.tokens == "temporal" else vectors
        if windows is not None:
            tokens, real = _by_row(tokens, real, windows)
        return Encoding(pooled=pooled, tokens=tokens, mask=real)

    def frame_vectors(self, frames: Tensor, mask: Tensor) -> Tensor:
        """The frame tower's vectors [C, T, W] of frames [C, T, 3, H, W]; zeros for padding, which is not encoded."""
        flat, patches = frames.flatten(0, 1), self._patches(frames, mask)
        if self.options.encode_padding:
            return self._chunks(flat, patches).unflatten(0, mask.shape)
        if torch.compiler.is_compiling():  # shapes must not depend on the mask
            whole = self._chunks(flat, patches).unflatten(0, mask.shape)
            return torch.where(mask[..., None], whole, torch.zeros_like(whole))
        rows = mask.flatten().nonzero()[:, 0]
        if not len(rows):
            return frames.new_zeros(*mask.shape, self.width)
        vectors = self._chunks(flat[rows], None if patches is None else patches[rows])
        whole = vectors.new_zeros(mask.numel(), self.width).index_copy(0, rows, vectors)
        return whole.unflatten(0, mask.shape)

    def _chunks(self, pixels: Tensor, patches: Tensor | None) -> Tensor:
        size = self.options.chunk or len(pixels)
        parts = [None] * -(-len(pixels) // size) if patches is None else patches.split(size)
        return torch.cat([self._encode(x, y) for x, y in zip(pixels.split(size), parts)])

    def _patches(self, frames: Tensor, mask: Tensor) -> Tensor | None:
        if self.stem is None:
            return None
        return self.stem(frames, mask, patch_convolution(self.frame).bias).flatten(0, 1)

    def _encode(self, pixels: Tensor, patches: Tensor | None) -> Tensor:
        def run(pixels: Tensor, patches: Tensor | None) -> Tensor:
            replaced = nullcontext()
            if patches is not None:
                replaced = given_patches(patch_convolution(self.frame), patches)
            with replaced:
                return self.frame({"pixels": pixels}).pooled

        if self.options.chunk is None or not torch.is_grad_enabled():
            return run(pixels, patches)

        def contexts():
            return nullcontext(), buffers_kept(self.frame)

        return checkpoint(run, pixels, patches, use_reentrant=False, context_fn=contexts)  # type: ignore[return-value]

    def _mean(self, vectors: Tensor, mask: Tensor) -> Tensor:
        if self.options.normalize:
            vectors = F.normalize(vectors, dim=-1)
        weight = mask[..., None].to(vectors.dtype)
        return (vectors * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)

    def layer_groups(self) -> list[list[str]]:
        """[stem and what comes before the frame tower's blocks], [block], ..., [its end, the head]."""
        groups = [[f"{_FRAME}.{name}" for name in group] for group in self.frame.layer_groups()] or [[_FRAME]]
        if self.stem is not None:
            groups[0].append("stem")
        if any(True for _ in self.head.parameters()):
            groups.append(["head"])
        return groups

    def save_assets(self, folder: Path) -> None:
        """The files of an own frame tower; those of a shared one lie with its stream."""
        if self._own:
            (folder / _FRAME).mkdir(parents=True, exist_ok=True)
            self.frame.save_assets(folder / _FRAME)


def _by_row(tokens: Tensor, mask: Tensor, windows: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens [C, T, W] of the windows -> [B, N*T, W] of the rows, and their mask [B, N*T]."""
    whole = tokens.new_zeros(*windows.shape, *tokens.shape[1:])
    real = torch.zeros(*windows.shape, tokens.shape[1], dtype=torch.bool, device=mask.device)
    at: tuple[Any, ...] = tuple(windows.nonzero(as_tuple=True))
    whole = whole.index_put(at, tokens)
    return whole.flatten(1, 2), real.index_put(at, mask).flatten(1, 2)
