"""How CLAP mixes the windows of a long sound into its shrunk whole: three kinds, with LAION-CLAP's parameter names.

Wu et al., ICASSP 2023, section 3.3; attentional feature fusion: Dai et al., WACV 2021. transformers has `aff` only.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.clap.modeling_clap import ClapAudioAFFBlock


class Aff(ClapAudioAFFBlock):
    """2 w x + 2 (1 - w) r, w from the sum of both: maps x and r [B, C, H, W] -> [B, C, H, W]."""

    def weights(self, x: Tensor, again: bool = False) -> Tensor:
        """Attention 0..1 of x; a batch of one counts twice, as BatchNorm has no statistics of a single value."""
        local: Any = self.local_att2 if again else self.local_att
        one = self.training and len(x) == 1
        x = torch.cat([x, x]) if one else x
        found = self.sigmoid(local(x) + self.global_att(x))
        return found[:1] if one else found

    def forward(self, hidden_states: Tensor, residual: Tensor) -> Tensor:
        share = self.weights(hidden_states + residual)
        return 2 * hidden_states * share + 2 * residual * (1 - share)


class Iaff(Aff):
    """The mixture gives the weights of the mixture: two rounds. The second shares its global attention with the first,
    as in the published code."""

    def __init__(self, config: Any):
        super().__init__(config)
        self.local_att2 = copy.deepcopy(self.local_att)
        for layer in self.local_att2:
            if isinstance(layer, nn.Conv2d):
                layer.reset_parameters()

    def forward(self, hidden_states: Tensor, residual: Tensor) -> Tensor:
        share = self.weights(hidden_states + residual)
        share = self.weights(hidden_states * share + residual * (1 - share), again=True)
        return hidden_states * share + residual * (1 - share)


class Daf(nn.Module):
    """The sum."""

    def forward(self, hidden_states: Tensor, residual: Tensor) -> Tensor:
        return hidden_states + residual


def use_fusion(encoder: Any, config: Any) -> None:
    """Put the kind that `config.fusion_type` names (`aff_2d`, `iaff_2d`, `daf_2d`) into a ClapAudioEncoder."""
    if not config.enable_fusion:
        return
    kind = str(config.fusion_type or "aff").split("_")[0]
    before = encoder.patch_embed.fusion_model
    made: nn.Module = Daf() if kind == "daf" else (Iaff if kind == "iaff" else Aff)(config)
    if kind not in ("iaff", "daf"):
        made.load_state_dict(before.state_dict())
    encoder.patch_embed.fusion_model = made.train(before.training)
