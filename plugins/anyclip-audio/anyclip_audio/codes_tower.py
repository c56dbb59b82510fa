"""`audio/codes`: CLVP's speech tower, a transformer over discrete codes (Betker 2023, arXiv 2305.07243, section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ClvpConfig, ClvpEncoder, ClvpEncoderConfig

from anyclip.errors import UserError
from anyclip.towers import Encoding, Tower
from anyclip.towers.wrapping import grouped_by_block, read_assets, recorded, write_assets
from anyclip_audio.codes_processor import CodesProcessor
from anyclip_audio.speech_options import CodesOptions
from anyclip_audio.transformers_build import build_model, change, first_line, inline_config, plain

_ASSET = "codes_tower.json"
_SPEECH = {"vocab_size": 8192, "bos_token_id": 8192, "eos_token_id": 8193}  # of CLVP's speech side


class CodesTower(Tower):
    """ClvpEncoder of transformers; `pooled` is the mean over its tokens, which leaves padding out.

    Inputs: {"codes": int64 [B, T], "mask": bool [B, T]}. With `output: projected` pooled and tokens went through the
    model's projection.
    """

    modality = "audio"
    processor: CodesProcessor

    def __init__(self, model: Any, options: CodesOptions, architecture: dict[str, Any]):
        super().__init__()
        self.model, self._architecture = model, architecture
        config = model.config
        self.projected, self.published_batch = options.output == "projected", options.published_batch
        self.width = config.projection_dim if self.projected else config.hidden_size
        if not self.projected:
            self.model.projection = nn.Identity()
        if model.rotary_pos_emb is not None:
            model.rotary_pos_emb = _Angles(model.rotary_pos_emb.inv_freq)
        for layer in model.layers:
            layer.self_attn.out_proj.register_forward_pre_hook(_in_its_dtype)
        self.blocks = [f"layers.{i}" for i in range(len(model.layers))]
        if config.summary_type != "mean":
            raise UserError(f"model: summary_type {config.summary_type!r} is not supported, mean is.")
        if options.pad_id >= config.vocab_size:
            raise UserError(f"pad_id: the model has {config.vocab_size} codes, {options.pad_id} is none of them.")
        self.processor = CodesProcessor(options, config.vocab_size)

    @classmethod
    def from_options(
        cls,
        options: CodesOptions,
        *,
        refs: Mapping[str, Tower] | None = None,
        assets: Path | None = None,
        load_weights: bool = True,
    ) -> CodesTower:
        saved = read_assets(assets, _ASSET, "codes", architecture=dict)
        folder = options.model if isinstance(options.model, str) else None
        if saved is not None:
            config = inline_config(saved["architecture"])
        else:
            config = _config(options)
            change(config, options.config, where="config")
        source = folder if load_weights and options.pretrained and saved is None else None
        model = build_model(config, None, cls=ClvpEncoder) if source is None else _load(config, source)
        return cls(model, options, plain(config))

    def forward(
        self, inputs: Mapping[str, Tensor], *, mask: Tensor | None = None, layers: Sequence[int] = ()
    ) -> Encoding:
        """mask [B, T]: True = leave the code out; layers: blocks whose output is wanted."""
        real = inputs["mask"] if mask is None else inputs["mask"] & ~mask
        seen = None if self.published_batch and mask is None else real.long()
        with recorded(self.model, self.blocks, layers, self.modality) as tapped:
            tokens = self.model(input_ids=inputs["codes"], attention_mask=seen).last_hidden_state
        counted = torch.ones_like(real) if seen is None else real
        kept = counted[..., None].to(tokens.dtype)
        pooled = (tokens * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)
        if self.projected:
            pooled, tokens = self.model.projection(pooled), self.model.projection(tokens)
        found = {depth: tapped[depth][0] if isinstance(tapped[depth], tuple) else tapped[depth] for depth in layers}
        return Encoding(pooled=pooled, tokens=tokens, mask=real, layers=found)

    def token_table(self) -> Tensor:
        """The codes' embeddings [V, W]."""
        return self.model.token_embedding.weight

    def layer_groups(self) -> list[list[str]]:
        """[embedding], [block], ..., [norm and projection]."""
        tail = r"model\.(final_layer_norm|projection|sequence_summary)\."
        return grouped_by_block(self, [f"model.{name}" for name in self.blocks], tail=tail, in_order=False)

    def save_assets(self, folder: Path) -> None:
        """One JSON file: the architecture."""
        write_assets(folder, _ASSET, {"library": "codes", "architecture": self._architecture})


class _Angles(nn.Module):
    """Rotary angles [1, T, D] in float32: the library's own keep their last result on the device of that time, and
    count in bfloat16 where the weights are."""

    inv_freq: Tensor

    def __init__(self, inv_freq: Tensor):
        super().__init__()
        self.register_buffer("inv_freq", inv_freq)  # part of published state dicts

    def forward(self, x: Tensor) -> Tensor:
        size = 2 * len(self.inv_freq)
        steps = torch.arange(0, size, 2, device=x.device, dtype=torch.float32)
        angles = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)[:, None] / 10_000 ** (steps / size)
        return torch.cat([angles, angles], dim=-1)[None]


def _in_its_dtype(module: nn.Linear, args: tuple[Tensor]) -> tuple[Tensor]:
    """Rotated values are float32; the layer behind them has the weights' type."""
    return args if torch.is_autocast_enabled(args[0].device.type) else (args[0].to(module.weight.dtype),)


def _config(options: CodesOptions) -> Any:
    if isinstance(options.model, dict):
        values = {name: value for name, value in options.model.items() if name != "model_type"}
        return inline_config({"model_type": "clvp_encoder", **_SPEECH, **values})
    try:
        return ClvpEncoderConfig.from_pretrained(options.model, config_type="speech_config")
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"model: {options.model!r} cannot be read: {first_line(error)}") from error


def _load(config: Any, source: str) -> Any:
    """The speech side of a whole CLVP."""
    from transformers import ClvpModelForConditionalGeneration

    whole = build_model(ClvpConfig.from_pretrained(source), source, cls=ClvpModelForConditionalGeneration)
    model = ClvpEncoder._from_config(config)
    model.load_state_dict(whole.speech_encoder_model.state_dict())
    return model
