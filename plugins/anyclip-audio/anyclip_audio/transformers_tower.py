"""`audio/transformers`: HuBERT, wav2vec 2.0, WavLM, Whisper's encoder, AST and their families, of transformers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyclip.errors import UserError
from anyclip.towers import Encoding
from anyclip.towers.wrapping import grouped_by_block, mean_of_windows, recorded
from anyclip_audio.audio_tower import AudioTower, Built
from anyclip_audio.front import log_spectrogram
from anyclip_audio.speech_options import TransformersAudioOptions
from anyclip_audio.transformers_build import build_model, change, inline_config, plain, read_config
from anyclip_audio.transformers_input import Input, input_of, whisper_scale
from anyclip_audio.transformers_norms import mask_group_norms, real_frames
from anyclip_audio.transformers_processor import TransformersAudioProcessor

_STACKS = ("encoder.layers", "layers", "encoder.layer", "encoder.encoder.layer")


class TransformersAudioTower(AudioTower):
    """An audio encoder of transformers in `model`, under the library's names.

    Tokens are the last layer's output, or with `layer_sum` a weighted sum over the input of the first layer and the
    outputs of all (Yang et al., SUPERB, Interspeech 2021, section 3); `layers` counts blocks from 0.
    """

    library = "transformers"
    processor: TransformersAudioProcessor

    def __init__(self, built: Built, options: TransformersAudioOptions):
        super().__init__(built, options)
        taken = Input.of(built.architecture["input"])
        self.processor = TransformersAudioProcessor(taken, built.front, options)
        front = self.processor.front
        if taken.kind != "wave" and self._frames(front.samples) != taken.frames:
            raise UserError(
                f"seconds: {self.model.config.model_type} takes {taken.frames} frames, not "
                f"{self._frames(front.samples)}.",
                hint=f"Leave seconds out: {built.front.seconds:g} s.",
            )
        self.published_batch, self.pool = options.published_batch, options.pool
        self.states = options.layer_sum
        if options.layer_sum != "none":
            self.layer_weights = nn.Parameter(torch.zeros(len(self.blocks) + 1))
        self.projection = nn.Linear(self.width, options.dim) if options.output == "projected" else None
        self.width = options.dim if self.projection is not None else self.width
        self._settle_masking(learns=bool(self.processor.augment.mask_time))

    def _frames(self, samples: int) -> int:
        front, taken = self.processor.front, self.processor.taken
        return samples // front.hop if taken.kind == "whisper" else (samples - front.win_length) // front.hop + 1

    def _settle_masking(self, *, learns: bool) -> None:
        """The library draws masks with NumPy's global generator; here they come from the loader or the caller.

        The vector that stands for masked frames learns only where the loader draws some.
        """
        config = self.model.config
        for name in ("mask_time_prob", "mask_feature_prob"):
            if hasattr(config, name):
                setattr(config, name, 0.0)
        embed = getattr(self.model, "masked_spec_embed", None)
        self.masks = embed is not None
        if embed is not None:
            embed.requires_grad_(learns)
        if learns and self.processor.taken.kind == "wave" and embed is None:
            raise UserError("mask_time: this model has no vector for masked frames.", hint="Leave mask_time out.")

    @classmethod
    def build(cls, options: TransformersAudioOptions, saved: dict[str, Any] | None, load_weights: bool) -> Built:
        folder = options.model if isinstance(options.model, str) else None
        if saved is not None:
            config, front = inline_config(saved["architecture"]["config"]), saved["front"]
            taken = Input.of(saved["architecture"]["input"])
        else:
            config = inline_config(options.model) if isinstance(options.model, dict) else read_config(options.model)
            change(config, {**_quiet(config), **options.config}, where="config")
            taken, front = input_of(config, options)
        config.is_encoder_decoder = config.model_type == "whisper"
        architecture = {"config": plain(config), "input": asdict(taken)}
        source = folder if load_weights and options.pretrained else None
        model = build_model(config, source)
        if source is None and hasattr(model, "embed_positions"):
            _sinusoids(model.embed_positions.weight)
        mask_group_norms(model)
        return Built(
            model=model,
            architecture=architecture,
            front=front,
            width=config.hidden_size,
            blocks=_blocks(model),
            tail=_tail(config),
        )

    def forward(self, inputs: Any, *, mask: Tensor | None = None, layers: Sequence[int] = ()) -> Encoding:
        """inputs: as the processor's `collate` gives them. mask [B, T]: True = replace the frame's features (models of
        waveforms). layers: blocks. `pooled` of several windows is the mean of theirs; such sounds have no tokens."""
        inputs = inputs if isinstance(inputs, dict) else {"x": inputs}
        present = inputs.get("windows")
        if present is not None:
            if layers or mask is not None:
                raise UserError("layers and masks of a sound in several windows are not defined.", hint="long: center")
            inputs = {name: value[present] for name, value in inputs.items() if name != "windows"}
        if mask is not None and not self.masks:
            raise UserError(f"{self.model.config.model_type} has no vector for masked frames.")
        drop = inputs.get("drop") if mask is None else mask
        depths = range(len(self.blocks)) if self.states != "none" else ()
        with (
            _first_input(self.model.get_submodule(self.blocks[0])) as first,
            recorded(self.model, self.blocks, sorted({*depths, *layers}), self.modality) as tapped,
        ):
            tokens, pooler, real = self._run(inputs, drop)
        if self.states != "none":
            tokens = self._summed([first[0], *(self.as_tokens(tapped[d]) for d in depths[:-1]), tokens])
        if self.projection is not None:
            tokens = self.projection(tokens)
        pooled = self._pooled(tokens, pooler, real)
        found = {depth: self.as_tokens(tapped[depth]) for depth in layers}
        if present is not None:
            return Encoding(pooled=mean_of_windows(pooled, present))
        return Encoding(pooled=pooled, tokens=tokens, mask=real, layers=found)

    def _run(self, inputs: dict[str, Tensor], drop: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
        """Last hidden state [B, T, W], the model's own pooled vector, and which tokens are real [B, T]."""
        x, taken = inputs["x"], self.processor.taken
        dtype = next(self.model.parameters()).dtype
        if taken.kind == "wave":
            return self._run_wave(x.to(dtype), inputs.get("mask"), drop)
        if taken.kind == "fbank":
            out = self.model(input_values=x[:, 0].to(dtype))
            tokens = out.last_hidden_state
            return tokens, out.pooler_output, tokens.new_ones(tokens.shape[:2], dtype=torch.bool)
        x = log_spectrogram(x, self.processor.front) if self.processor.in_model else x[:, 0]
        if self.published_batch or self.processor.in_model:
            x = whisper_scale(x.float(), whole=self.published_batch)
        tokens = self.model(input_features=x.transpose(1, 2).to(dtype)).last_hidden_state
        frames = inputs.get("frames", torch.full((len(x),), taken.frames, device=x.device))
        count = -(-frames * tokens.shape[1] // taken.frames)
        return tokens, None, torch.arange(tokens.shape[1], device=x.device) < count[:, None]

    def _run_wave(self, x: Tensor, mask: Tensor | None, drop: Tensor | None) -> tuple[Tensor, None, Tensor]:
        taken = self.processor.taken
        size = taken.tokens(x.shape[1])
        if drop is None and self.masks and self.model.masked_spec_embed.requires_grad:
            drop = torch.zeros(len(x), size, dtype=torch.bool, device=x.device)  # so that it has a gradient always
        more = {} if drop is None else {"mask_time_indices": drop[:, :size]}
        if mask is None:
            tokens = self.model(x, **more).last_hidden_state
            return tokens, None, tokens.new_ones(tokens.shape[:2], dtype=torch.bool)
        samples = mask.sum(dim=1)
        if self.published_batch:
            tokens = self.model(x, **more).last_hidden_state
            frames = (samples / taken.stride).round().long().clamp(1, tokens.shape[1])
        else:
            with real_frames(self.model, taken.tokens(samples, depth=1)):
                tokens = self.model(x, attention_mask=mask.long(), **more).last_hidden_state
            frames = taken.tokens(samples)
        return tokens, None, torch.arange(tokens.shape[1], device=x.device) < frames[:, None]

    def _summed(self, states: list[Tensor]) -> Tensor:
        """[B, T, W] of each layer -> their weighted sum."""
        if any(state.shape != states[0].shape for state in states):
            raise UserError(f"layer_sum: the layers of {self.model.config.model_type} have different lengths.")
        if self.states == "normalized":
            states = [F.layer_norm(state, state.shape[-1:]) for state in states]
        weights = self.layer_weights.float().softmax(dim=0).to(states[0].dtype)
        total = states[0] * weights[0]
        for weight, state in zip(weights[1:], states[1:]):
            total = total + weight * state
        return total

    def _pooled(self, tokens: Tensor, pooler: Tensor | None, real: Tensor) -> Tensor:
        if self.pool == "cls":
            if self.processor.taken.kind != "fbank":
                raise UserError(f"pool: {self.model.config.model_type} has no class token.", hint="Use pool: mean.")
            return tokens[:, 0]
        if self.pool == "default" and pooler is not None and self.states == "none":
            return pooler if self.projection is None else self.projection(pooler)
        kept = real[..., None].to(tokens.dtype)
        return (tokens * kept).sum(dim=1) / kept.sum(dim=1)

    def layer_groups(self) -> list[list[str]]:
        """[everything before the first block], [block], ..., [norms, weights of the layers and projection]."""
        ends = "|".join(rf"model\.{name}\." for name in self._tail)
        tail = rf"layer_weights$|projection\.|{ends}" if ends else r"layer_weights$|projection\."
        return grouped_by_block(self, [f"model.{name}" for name in self.blocks], tail=tail, in_order=False)


@contextlib.contextmanager
def _first_input(block: nn.Module) -> Iterator[list[Tensor]]:
    """What enters a block while the context is open."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, args: Any, kwargs: Any) -> None:
        found.append(args[0] if args else kwargs["hidden_states"])

    handle = block.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield found
    finally:
        handle.remove()


def _quiet(config: Any) -> dict[str, Any]:
    """No layer is skipped in training unless asked for: a step without a gradient for a layer stops DDP.

    mask_time_prob above 0 makes the library create the vector for masked frames.
    """
    values = {"layerdrop": 0.0, "encoder_layerdrop": 0.0, "mask_time_prob": 0.05, "apply_spec_augment": True}
    return {name: value for name, value in values.items() if hasattr(config, name)}


def _blocks(model: nn.Module) -> list[str]:
    for name in _STACKS:
        try:
            stack = model.get_submodule(name)
        except AttributeError:
            continue
        return [f"{name}.{i}" for i in range(len(stack))]  # type: ignore[arg-type]
    raise UserError(f"{type(model).__name__} has no stack of layers that this tower knows.")


def _tail(config: Any) -> tuple[str, ...]:
    if hasattr(config, "conv_kernel"):
        return ("encoder.layer_norm",) if getattr(config, "do_stable_layer_norm", False) else ()
    return ("layer_norm", "layernorm")


def _sinusoids(table: Tensor) -> None:
    """Whisper's fixed positions: sines, then cosines, wave lengths from 2 pi to 20,000 pi."""
    length, width = table.shape
    scale = torch.exp(-torch.arange(width // 2) * (torch.log(torch.tensor(10_000.0)) / (width // 2 - 1)))
    angles = torch.arange(length)[:, None] * scale
    with torch.no_grad():
        table.copy_(torch.cat([angles.sin(), angles.cos()], dim=1))
