"""Options of the towers for speech and of those around whole models of transformers (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from anyclip.specs import TowerPart, TowerRef
from anyclip_audio.options import Positive, SpectrogramOptions


@dataclass(kw_only=True)
class TransformersAudioOptions(SpectrogramOptions):
    """audio/transformers. n_fft, hop, fmin, fmax and mel_* are for models with a log-mel front end (Whisper)."""

    model: str | dict[str, Any] = "facebook/hubert-base-ls960"
    """A hub id, a local folder, or an inline config for random weights: `{model_type: hubert, hidden_size: 128,
    num_hidden_layers: 2, ...}`. Types: hubert, wav2vec2, wavlm, unispeech, unispeech-sat; data2vec-audio, sew, sew-d,
    wav2vec2-conformer; whisper, qwen2_audio_encoder; audio-spectrogram-transformer."""
    pretrained: bool = True
    """false: only the configuration of the folder, with random weights. An inline config is always random."""
    config: dict[str, Any] = field(default_factory=dict)
    """Settings of the model's configuration to change: `{attention_dropout: 0.0}`."""
    layer_sum: Literal["none", "plain", "normalized"] = "none"
    """`plain`: tokens are a weighted sum over the outputs of all layers, the weights learned (softmax of one number per
    layer, SUPERB); `normalized`: of the layer-normalised outputs; `none`: the last layer's output."""
    pool: Literal["default", "mean", "cls"] = "default"
    """How tokens become one vector. `default`: the model's own pooler where it has one (AST), else the mean over the
    frames of the sound."""
    output: Literal["pooled", "projected"] = "pooled"
    """`projected`: a linear layer on the tokens before pooling (open_clip's Whisper towers); see `dim`."""
    dim: Positive = 512
    """Width of `output: projected`."""
    normalize: bool | None = None
    """Waveforms are set to zero mean and unit deviation, each by its own numbers. Default: what the folder's
    preprocessor says, else true."""
    variable: bool | None = None
    """Sounds shorter than `seconds` keep their length: a batch is padded to its longest and masked. Default: true for
    models of waveforms that can ignore padding; the others take windows of one length."""
    published_batch: bool = False
    """As the published code: Whisper's log-mel is clamped by the batch's maximum (open_clip), and waveform models see
    the padding to the batch's longest sound (SpeechCLIP); an embedding then depends on its batch mates."""

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.model, dict) and not isinstance(self.model.get("model_type"), str):
            raise ValueError("an inline model needs model_type, such as hubert")
        if self.layer_sum != "none" and self.pool == "cls":
            raise ValueError("layer_sum goes with the mean over frames; leave pool out")
        if self.variable and self.short is not None:
            raise ValueError("variable: true fills nothing up; leave short out")


def _hubert() -> TowerPart:
    return TowerPart(name="audio/transformers", options={"layer_sum": "plain", "normalize": False})


@dataclass(kw_only=True)
class SpeechclipOptions:
    """audio/speechclip (Shih et al., SLT 2022)."""

    encoder: TowerPart | TowerRef = field(default_factory=_hubert)
    """What hears: an audio/transformers tower of its own, or that of another stream, `{ref: speech}`, which may be an
    audio/speechclip too: both heads can be trained on one encoder. Default: HuBERT base on the waveform as it is, with
    learned weights of its layers; the paper freezes all but these: `freeze: ['^encoder.model']`."""
    head: Literal["parallel", "cascaded"] = "parallel"
    """`parallel`: one learned token reads the frames; `cascaded`: several read them, each becomes the nearest entry of
    the text tower's vocabulary, and the text tower encodes these keywords."""
    text: TowerPart | TowerRef | None = None
    """The text tower that `cascaded` speaks to: `{ref: text}`. The paper freezes it."""
    keywords: Positive = 8
    """Keywords of `cascaded`."""
    heads: Positive | None = None
    """Attention heads. Default: 8 for `parallel`, 1 for `cascaded`; as published."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1
    """Inside the head, in training."""
    temperature: Annotated[float, Gt(0)] = 0.1
    """Of the softmax through which the gradient passes the choice of keywords."""
    vocabulary: str | None = None
    """A text file with the ids that keywords may take, one per line (the paper: those of the training captions).
    Default: all. The text tower's special tokens are never taken."""
    output: Literal["pooled", "projected"] = "pooled"
    """`projected`, of the parallel head: after a linear layer to `dim`, as published; give the stream
    `projection: identity`."""
    dim: Positive = 512
    """Width of `output: projected`."""

    def __post_init__(self):
        if (self.head == "cascaded") != (self.text is not None):
            raise ValueError("head: cascaded and text: {ref: STREAM} belong together")
        if self.head == "cascaded" and self.output == "projected":
            raise ValueError("the cascaded head's output is the text tower's; set output there")
        if self.head == "parallel" and self.vocabulary is not None:
            raise ValueError("vocabulary is for head: cascaded")


@dataclass(kw_only=True)
class CodesOptions:
    """audio/codes."""

    model: str | dict[str, Any] = field(default_factory=dict)
    """A hub id or local folder of a CLVP model of transformers (its speech side is taken), or settings of
    ClvpEncoderConfig for random weights: `{hidden_size: 128, num_hidden_layers: 2}`."""
    pretrained: bool = True
    """false: only the configuration of the folder, with random weights."""
    config: dict[str, Any] = field(default_factory=dict)
    """Settings of the model's configuration to change: `{dropout: 0.0}`."""
    length: Positive = 512
    """Most codes that the model sees."""
    long: Literal["center", "start"] = "center"
    """Which part of longer sequences is kept in evaluation."""
    train_crop: Literal["random", "same"] = "random"
    """Which part of longer sequences is kept in training: a random one, or that of evaluation."""
    published_batch: bool = False
    """Pool over the padding too, as transformers does; an embedding then depends on its batch mates."""
    output: Literal["pooled", "projected"] = "pooled"
    """`projected`: after the model's own projection; give the stream `projection: identity`."""
    mask_codes: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of the codes that are left out of a training sample, drawn anew each time."""
    pad_id: Annotated[int, Ge(0)] = 0
    """Code that fills up short sequences; it is masked."""

    @property
    def deterministic(self) -> bool:
        """Whether training samples are those of evaluation."""
        return self.train_crop == "same" and not self.mask_codes
