"""`video/features`: feature vectors that another model computed (S3D and the like), and VideoCLIP's transformer.

Xu et al. 2021 (VideoCLIP), arXiv 2109.14084, section 3.1; names and numbers are those of fairseq's MMPT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel

from anyclip.errors import UserError
from anyclip.towers import Encoding, Tower
from anyclip.towers.wrapping import grouped_by_block, read_assets, recorded, write_assets
from anyclip_video.features_processor import FeaturesProcessor
from anyclip_video.hugging import config_of, first_line, inline_config, plain
from anyclip_video.tower_options import FeaturesOptions

_ASSET = "features_tower.json"


class TokenMLP(nn.Module):
    """Features [B, T, dim] -> the encoder's width: linear, GELU, LayerNorm, linear."""

    def __init__(self, dim: int, width: int):
        super().__init__()
        self.linear1 = nn.Linear(dim, width)
        self.LayerNorm = nn.LayerNorm(width)
        self.linear2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.LayerNorm(F.gelu(self.linear1(x))))


class FeaturesTower(Tower):
    """[CLS] features [SEP] through the BERT in `bert`; `pooled` is the mean over features and [SEP], without [CLS].

    `tokens` [B, T, W] are the features' outputs. Without an encoder both are the features themselves. Inputs:
    {"features": [B, T, dim], "mask": [B, T]}.
    """

    modality = "video"
    processor: FeaturesProcessor

    def __init__(self, options: FeaturesOptions, encoder: nn.Module | None):
        super().__init__()
        self.options, self.bert = options, encoder
        self.width = options.dim
        if encoder is not None:
            config: Any = encoder.config
            self.width = config.hidden_size
            self.videomlp = TokenMLP(options.dim, self.width)
            _check(options, config)
        self.processor = FeaturesProcessor(options)

    @classmethod
    def from_options(
        cls,
        options: FeaturesOptions,
        *,
        refs: Mapping[str, Tower] | None = None,
        assets: Path | None = None,
        load_weights: bool = True,
    ) -> FeaturesTower:
        saved = read_assets(assets, _ASSET, "transformers", architecture=dict)
        if options.model is None:
            return cls(options, None)
        if saved is not None:
            return cls(options, _random(inline_config(saved["architecture"])))
        config = config_of(options.model, options.config)
        if config.model_type != "bert":
            raise UserError(f"model: the encoder is a bert, not {config.model_type!r}.")
        weights = isinstance(options.model, str) and options.pretrained and load_weights
        return cls(options, _pretrained(options.model, config) if weights else _random(config))

    def forward(
        self, inputs: Mapping[str, Tensor], *, mask: Tensor | None = None, layers: Sequence[int] = ()
    ) -> Encoding:
        """mask [B, T]: True = drop the feature vector; layers: blocks of the encoder, [B, T, W] of the features."""
        features, real = inputs["features"], inputs["mask"]
        if mask is not None:
            real = real & ~mask
        if self.bert is None:
            if layers:
                raise UserError("video/features has no layers: its encoder is null.")
            return Encoding(pooled=_mean(features, real), tokens=features, mask=real)
        # padding is zero before the MLP, as in the origin; it is not seen by attention either
        x = self.videomlp(features * real[..., None].to(features.dtype))
        embeds, seen, places = self._sequence(x, real)
        with recorded(self, self._blocks(), layers, "features") as found:
            hidden = self.bert(
                inputs_embeds=embeds, attention_mask=seen.long(), position_ids=places, return_dict=True
            ).last_hidden_state
        kept = {depth: _first(out)[:, 1:-1] for depth, out in found.items()}
        pooled = _mean(hidden[:, 1:], seen[:, 1:])
        return Encoding(pooled=pooled, tokens=hidden[:, 1:-1], mask=real, layers=kept)

    def _sequence(self, x: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings [B, 1 + T + 1, W], what attention sees, and positions: [SEP] stands behind the longest clip."""
        assert self.bert is not None
        batch, length = real.shape
        if length > self.options.length:
            raise UserError(f"a clip has {length} feature vectors, the tower takes {self.options.length}.")
        table: Any = self.bert.get_input_embeddings()  # type: ignore[operator]
        ends = table.weight[[self.options.cls_id, self.options.sep_id]].to(x.dtype).expand(batch, 2, -1)
        embeds = torch.cat([ends[:, :1], x, ends[:, 1:]], dim=1)
        always = torch.ones(batch, 1, dtype=torch.bool, device=real.device)
        places = torch.arange(length + 2, device=x.device)
        places[-1] = self.options.length + 1
        return embeds, torch.cat([always, real, always], dim=1), places.expand(batch, -1)

    def _blocks(self) -> list[str]:
        if self.bert is None:
            return []
        return [f"bert.encoder.layer.{i}" for i in range(self.bert.config.num_hidden_layers)]  # type: ignore[union-attr]

    def layer_groups(self) -> list[list[str]]:
        """[the MLP and the embeddings], [block], ..."""
        return grouped_by_block(self, self._blocks(), in_order=False)

    def save_assets(self, folder: Path) -> None:
        """The encoder's configuration."""
        if self.bert is not None:
            write_assets(folder, _ASSET, {"library": "transformers", "architecture": plain(self.bert.config)})  # type: ignore[arg-type]


def _random(config: Any) -> nn.Module:
    return AutoModel.from_config(config, add_pooling_layer=False)


def _pretrained(source: Any, config: Any) -> nn.Module:
    try:
        return AutoModel.from_pretrained(source, config=config, add_pooling_layer=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"model: the weights of {source!r} cannot be loaded: {first_line(error)}") from error


def _check(options: FeaturesOptions, config: Any) -> None:
    for name in ("cls_id", "sep_id"):
        if getattr(options, name) >= config.vocab_size:
            raise UserError(f"{name}: {getattr(options, name)} is outside the vocabulary of {config.vocab_size} rows.")
    if options.length + 2 > config.max_position_embeddings:
        raise UserError(
            f"length: a clip of {options.length} with its ends needs {options.length + 2} positions, "
            f"the encoder has {config.max_position_embeddings}."
        )


def _mean(x: Tensor, mask: Tensor) -> Tensor:
    weight = mask[..., None].to(x.dtype)
    return (x * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output
