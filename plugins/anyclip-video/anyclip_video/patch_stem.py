"""The 3D patch stem: patches of a frame are cut by a convolution that also sees the frames before and after.

Luo et al. 2021 (CLIP4Clip), arXiv 2104.08860, section 3.2 (3D linear projection).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from anyclip.errors import UserError


class PatchStem(nn.Module):
    """[C, T, 3, H, W] -> [C, T, W', h, w]: what the frame tower's own patch convolution would give, over time.

    conv: the tower's convolution. Begins as that one on the middle frame, zeros on the others.
    """

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        height, width = conv.kernel_size
        size, step = (3, height, width), (1, height, width)
        self.conv = nn.Conv3d(conv.in_channels, conv.out_channels, size, step, padding=(1, 0, 0), bias=False)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[:, :, 1] = conv.weight

    def forward(self, frames: Tensor, mask: Tensor, bias: Tensor | None) -> Tensor:
        # a padded frame is nothing: its pixels must not reach the frame before it
        frames = frames * mask[:, :, None, None, None].to(frames.dtype)
        patches = self.conv(frames.transpose(1, 2)).transpose(1, 2)
        return patches if bias is None else patches + bias[:, None, None]


def patch_convolution(tower: nn.Module) -> nn.Conv2d:
    """The convolution that cuts a picture into patches. Raises UserError where there is none."""
    for module in tower.modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == 3:
            if module.kernel_size == module.stride:
                return module
            break
    raise UserError("stem: 3d needs a frame tower that cuts pictures into patches.", hint="Use a vision transformer.")


@contextlib.contextmanager
def given_patches(conv: nn.Module, patches: Tensor | None) -> Iterator[None]:
    """Inside, `conv` gives `patches` [n, W', h, w], whatever it is called with; None: it is left alone."""
    if patches is None:
        yield
        return
    handle = conv.register_forward_hook(lambda module, args, output: patches)
    try:
        yield
    finally:
        handle.remove()
