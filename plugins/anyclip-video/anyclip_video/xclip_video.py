"""The video half of Microsoft's X-CLIP, taken out of the library's model under the library's names.

Ni et al. 2022, arXiv 2208.02816, sections 3.2 and 3.3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import XCLIPModel


class XClipVideo(nn.Module):
    """Frames [C, T, 3, H, W] -> vectors [C, D] and tokens [C, *, D], D the joint width of X-CLIP.

    Tokens are the projected frames, or with `prompts` the projected patches, averaged over frames, from which the
    similarity makes a clip's own prompt.
    """

    prompts_visual_layernorm: nn.Module | None
    prompts_visual_projection: nn.Parameter | None

    def __init__(self, vision_model: nn.Module, visual_projection: nn.Linear, mit: nn.Module):
        super().__init__()
        self.vision_model, self.visual_projection, self.mit = vision_model, visual_projection, mit
        self.width = visual_projection.out_features
        self.prompts_visual_layernorm = None
        self.prompts_visual_projection = None

    @classmethod
    def of(cls, model: XCLIPModel, *, prompts: bool) -> XClipVideo:
        """The video half of a whole model; its text half is left behind."""
        whole: Any = model
        found = cls(whole.vision_model, whole.visual_projection, whole.mit)
        if prompts:
            found.prompts_visual_layernorm = whole.prompts_visual_layernorm
            found.prompts_visual_projection = whole.prompts_visual_projection
        return found

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        clips, length = frames.shape[:2]
        vision = self.vision_model(pixel_values=frames.flatten(0, 1), return_dict=True)
        vectors = self.visual_projection(vision.pooler_output).unflatten(0, (clips, length))
        pooled = self.mit(vectors)[1]
        if self.prompts_visual_layernorm is None:
            return pooled, vectors
        assert self.prompts_visual_projection is not None
        patches = self.prompts_visual_layernorm(vision.last_hidden_state[:, 1:]) @ self.prompts_visual_projection
        return pooled, torch.mean(patches.unflatten(0, (clips, length)), dim=1)
