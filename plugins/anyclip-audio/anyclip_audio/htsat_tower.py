"""`audio/htsat`: the Swin-style encoder of CLAP, as transformers has it, with or without feature fusion.

HTS-AT: Chen et al., ICASSP 2022. CLAP and its fusion: Wu et al., ICASSP 2023, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import ClapAudioConfig, ClapAudioModel, ClapAudioModelWithProjection, ClapConfig
from transformers.feature_extraction_utils import FeatureExtractionMixin

from anyclip.errors import CheckpointError, UserError, did_you_mean
from anyclip_audio.audio_tower import AudioTower, Built
from anyclip_audio.front import Front
from anyclip_audio.fusion import use_fusion
from anyclip_audio.options import HtsatOptions
from anyclip_audio.transformers_build import plain

_SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"patch_embeds_hidden_size": 96, "depths": [2, 2, 6, 2]},
    "base": {"patch_embeds_hidden_size": 128, "depths": [2, 2, 12, 2]},
    "large": {"patch_embeds_hidden_size": 256, "depths": [2, 2, 12, 2]},
}


class HtsatTower(AudioTower):
    """ClapAudioModel of transformers; `pooled` is its pooler_output, or its projection with `output: projected`."""

    library = "htsat"

    def __init__(self, built: Built, options: HtsatOptions):
        super().__init__(built, options)
        if built.front.fusion and self.processor.in_model:
            raise UserError("features: model does not go with fusion.", hint="Leave features at workers.")
        config, front = self.model.config, self.processor.front
        most = config.spec_size * (config.spec_size // config.num_mel_bins)
        if front.frames > most:
            raise UserError(
                f"seconds: {front.seconds:g} s are {front.frames} frames, the model takes {most}.",
                hint=f"Use at most {(most - 1) * front.hop / front.sample_rate:.2f} s, or a larger hop.",
            )

    @classmethod
    def build(cls, options: HtsatOptions, saved: dict[str, Any] | None, load_weights: bool) -> Built:
        if saved is not None:
            config, front = ClapAudioConfig(**saved["architecture"]), saved["front"]
        else:
            config = _config(options)
            front = _front(options, config)
        kind = ClapAudioModelWithProjection if options.output == "projected" else ClapAudioModel
        if load_weights and isinstance(options.model, str) and options.pretrained:
            model = _load(kind, options.model, config)
        else:
            model = kind._from_config(config)
        core = "audio_model.audio_encoder" if options.output == "projected" else "audio_encoder"
        use_fusion(model.get_submodule(core), config)
        return Built(
            model=model,
            architecture=settings(config),
            front=front,
            width=config.projection_dim if options.output == "projected" else config.hidden_size,
            blocks=[f"{core}.layers.{i}" for i in range(len(config.depths))],
            tail=(f"{core}.norm", "audio_projection"),
        )

    def encode(self, x: Tensor, longer: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self.processor.front.fusion and longer is None:
            longer = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        projected = isinstance(self.model, ClapAudioModelWithProjection)
        out = (self.model.audio_model if projected else self.model)(input_features=x, is_longer=longer)
        tokens = out.last_hidden_state.flatten(2).transpose(1, 2)
        if projected:
            return self.model.audio_projection(out.pooler_output), self.model.audio_projection(tokens)
        return out.pooler_output, tokens


def _config(options: HtsatOptions) -> ClapAudioConfig:
    if isinstance(options.model, str):
        try:
            whole: Any = ClapConfig.from_pretrained(options.model)
        except (OSError, ValueError, KeyError) as error:
            first = str(error).strip().splitlines()
            raise UserError(f"model: {options.model!r} cannot be read: {first[0] if first else error!r}") from error
        config: Any = whole.audio_config
    else:
        values = {**_SIZES[options.size], "num_attention_heads": [4, 8, 16, 32], **(options.model or {})}
        depths = values["depths"]
        values.setdefault("hidden_size", values["patch_embeds_hidden_size"] * 2 ** (len(depths) - 1))
        _refuse_unknown(values)
        kind = "aff" if options.fusion is True else options.fusion
        fusion_type = f"{kind}_2d" if kind else None
        config = ClapAudioConfig(**values, enable_fusion=bool(kind), fusion_type=fusion_type)
    _refuse_unknown(options.config)
    for name, value in options.config.items():
        setattr(config, name, value)
    return config


def _refuse_unknown(values: dict[str, Any]) -> None:
    known = {name for name in ClapAudioConfig().to_dict() if name not in ("enable_fusion", "fusion_type")}
    for name in values:
        if name not in known:
            raise UserError(f"ClapAudioConfig has no setting {name!r}.", hint=did_you_mean(name, known))


def _front(options: HtsatOptions, config: ClapAudioConfig) -> Front:
    """CLAP's input, or what the folder's preprocessor_config.json says; LAION has two kinds of mel bands."""
    front = Front(n_mels=config.num_mel_bins)
    if isinstance(options.model, str):
        front = _declared(front, options.model)
    if config.enable_fusion:
        front = replace(front, mel_scale="htk", mel_norm="none", fusion=True, antialias=options.antialias)
    chosen = front.with_options(options)
    most = config.spec_size * (config.spec_size // config.num_mel_bins)
    if options.seconds is None and chosen.frames > most:  # a smaller model of the user's: its whole width
        front = replace(front, seconds=(most - 1) * chosen.hop / chosen.sample_rate)
    return front


def _declared(front: Front, folder: str) -> Front:
    try:
        found, _ = FeatureExtractionMixin.get_feature_extractor_dict(folder)
    except (OSError, ValueError):
        return front  # a folder without one is usual for models saved after training
    return front.with_options(HtsatOptions(**declared_input(found)))


def declared_input(extractor: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `audio/htsat` from what transformers saves of a ClapFeatureExtractor; what it lacks is left out."""
    names = {"sampling_rate": "sample_rate", "fft_window_size": "n_fft", "hop_length": "hop", "padding": "short"}
    names |= {"max_length_s": "seconds", "frequency_min": "fmin", "frequency_max": "fmax"}
    kinds = {"seconds": float, "fmin": float, "fmax": float, "short": str}
    return {ours: kinds.get(ours, int)(extractor[name]) for name, ours in names.items() if name in extractor}


def _load(kind: Any, folder: str, config: ClapAudioConfig) -> Any:
    try:
        model, info = kind.from_pretrained(folder, config=config, output_loading_info=True, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"model: the weights of {folder!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    missing = sorted(info["missing_keys"]) + [str(m) for m in info["mismatched_keys"]]
    if missing:
        raise CheckpointError(f"lacks tensors of the audio model: {', '.join(missing[:8])}.", where=folder)
    return model


def settings(config: Any) -> dict[str, Any]:
    """What ClapAudioConfig is made again from."""
    return {name: value for name, value in plain(config).items() if name != "model_type"}
