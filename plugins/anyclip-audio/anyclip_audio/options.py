"""Options of the audio towers (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

Positive = Annotated[int, Gt(0)]
Share = Annotated[float, Ge(0), Le(1)]


@dataclass(kw_only=True)
class AudioOptions:
    """What every audio tower understands: length, rate, decoding, augmentation."""

    sample_rate: Positive | None = None
    """Hz that sounds are resampled to. Default: the model's own."""
    seconds: Annotated[float, Gt(0)] | None = None
    """Length of the window that the model sees. Default: the model's own."""
    short: Literal["repeatpad", "repeat", "pad", "edge"] | None = None
    """Shorter sounds: `repeatpad`: whole repetitions, then zeros; `repeat`: repetitions, the last one cut; `pad`:
    zeros; `edge`: centred, the first and last sample repeated. Default: the model's own."""
    long: Literal["center", "start", "active", "tile"] = "center"
    """Longer sounds in evaluation: the middle or first window; `active`: the middle one, but the first or last where it
    is quiet (AudioCLIP); `tile`: windows over the whole length, whose encodings are averaged. Only the needed part of a
    file is read; `active` and `tile` need all of it."""
    train_crop: Literal["random", "same"] = "random"
    """Longer sounds in training: a random window, or the same as in evaluation."""
    max_windows: Positive = 30
    """Most windows of `tile`, evenly spread; also how many windows long the part is that feature fusion looks at."""
    backend: Literal["auto", "soundfile", "torchcodec", "pyav", "librosa"] = "auto"
    """Decoder. `auto`: soundfile, for ogg and what it cannot read torchcodec, PyAV, librosa, as far as installed."""
    quantise: bool | None = None
    """Cut samples to -1..1 and round them to 16 bits, as LAION-CLAP does. Default: what the model's origin does."""
    features: Literal["workers", "model"] = "workers"
    """Where spectrograms are computed: in the loader workers, or by the tower on its device; with the same values."""
    augment: Literal["none", "light", "strong"] = "none"
    """Training augmentation. `light`: gain up to 6 dB and masks over 10 % of time and bands; `strong`: 12 dB, polarity,
    noise in half of the sounds, two masks of 20 %, shift. The fields below change single parts."""
    gain_db: Annotated[float, Ge(0), Le(60)] | None = None
    """Largest random gain and attenuation."""
    polarity: Share | None = None
    """Probability of the negated wave."""
    noise_prob: Share | None = None
    """Probability of added white noise, 5 to 40 dB below the sound."""
    speed: Annotated[float, Ge(0), Le(0.5)] | None = None
    """Largest relative change of speed, and so of pitch; in no preset, because captions may name either."""
    shift: Share | None = None
    """Largest rotation of the window in time, as a share of it."""
    mask_time: Share | None = None
    """Widest masked stretch of time of a spectrogram, as a share of it (SpecAugment)."""
    mask_bands: Share | None = None
    """Widest masked stretch of bands of a spectrogram, as a share of them (SpecAugment)."""
    masks: Annotated[int, Ge(0)] | None = None
    """How many masks of each kind."""

    def __post_init__(self):
        masked = (self.mask_time, self.mask_bands, self.masks)
        if self.features == "model" and (self.augment != "none" or any(masked)):
            raise ValueError("masks are drawn in the workers: features: model goes with augment: none")


@dataclass(kw_only=True)
class SpectrogramOptions(AudioOptions):
    """Towers that see a log-mel spectrogram."""

    n_fft: Positive | None = None
    """Samples of a spectrogram's frame. Default: the model's own."""
    hop: Positive | None = None
    """Samples from one frame to the next. Default: the model's own."""
    fmin: Annotated[float, Ge(0)] | None = None
    """Lowest frequency of the mel bands in Hz. Default: the model's own."""
    fmax: Annotated[float, Gt(0)] | None = None
    """Highest frequency of the mel bands in Hz. Default: the model's own, at most half the rate."""
    mel_scale: Literal["slaney", "htk"] | None = None
    """Formula of the mel scale. Default: the model's own."""
    mel_norm: Literal["slaney", "none"] | None = None
    """Area normalisation of the mel bands. Default: the model's own."""
    mel_rate: Positive | None = None
    """Hz that the mel bands are made for. Default: sample_rate; MS-CLAP 2023 has 32000 on sounds of 44100."""


@dataclass(kw_only=True)
class HtsatOptions(SpectrogramOptions):
    model: str | dict[str, Any] | None = None
    """A folder or hub id of a CLAP model of transformers, or settings of ClapAudioConfig to build from:
    {patch_embeds_hidden_size: 48, depths: [2, 2], num_attention_heads: [2, 4]}. Default: `size`, random weights."""
    size: Literal["tiny", "base", "large"] = "tiny"
    """LAION-CLAP's sizes (28, 69 and 270 million parameters); for a `model` that is not given."""
    fusion: bool | Literal["aff", "iaff", "daf"] = False
    """Feature fusion for long sounds (CLAP paper, section 3.3): the whole sound shrunk, with three windows mixed in.
    `aff` (the same as true): by attention; `iaff`: by attention twice; `daf`: added. For a `model` that is not a folder
    or hub id, which says it itself."""
    antialias: bool = False
    """Shrink the whole sound's spectrogram with an antialiasing filter: LAION-CLAP with torchvision since 0.17."""
    pretrained: bool = True
    """false: only the configuration of the folder, with random weights."""
    output: Literal["pooled", "projected"] = "pooled"
    """`projected`: after the model's own projection; give the stream `projection: identity`."""
    config: dict[str, Any] = field(default_factory=dict)
    """Settings of the model's configuration to change: {drop_path_rate: 0.1}."""


@dataclass(kw_only=True)
class PannOptions(SpectrogramOptions):
    size: Literal["cnn14", "cnn10", "cnn6"] = "cnn14"
    """PANNs' sizes (80, 5 and 5 million parameters): six or four blocks of two 3 x 3 layers, or four of one 5 x 5."""
    channels: list[Positive] | None = None
    """Channels of the blocks: [32, 64, 128, 256]. Default: those of `size`."""
    n_mels: Positive = 64
    """Mel bands."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2
    """After each block in training; 2.5 times that around the last layer, at most one half."""

    def __post_init__(self):
        super().__post_init__()
        if self.channels is not None and not self.channels:
            raise ValueError("channels needs a block at least")


@dataclass(kw_only=True)
class Wav2clipOptions(AudioOptions):
    layers: list[Positive] = field(default_factory=lambda: [2, 2, 2, 2])
    """Blocks of the four stages; [2, 2, 2, 2] is ResNet-18."""
    output: Literal["pooled", "projected"] = "pooled"
    """`projected`: after Wav2CLIP's own MLP of 512, 512; give the stream `projection: identity` or `linear`."""
    published_batch: bool = False
    """Standardise over the whole batch as the published code does; an embedding then depends on its batch mates."""

    def __post_init__(self):
        super().__post_init__()
        if len(self.layers) != 4:
            raise ValueError(f"layers takes 4 numbers, not {len(self.layers)}")


@dataclass(kw_only=True)
class EsresnextOptions(AudioOptions):
    layers: list[Positive] = field(default_factory=lambda: [3, 4, 6, 3])
    """Blocks of the four stages; [3, 4, 6, 3] is ResNeXt-50 32x4d."""
    frame: Positive = 1654
    """Samples of a frame (37.5 ms)."""
    step: Positive = 561
    """Samples from one frame to the next."""
    points: Positive = 2048
    """Points of the wavelet kernels; half as many bins, in three bands."""
    attention: bool = True
    """Attention on the output of each stage."""
    output: Literal["pooled", "projected"] = "pooled"
    """`projected`: after a linear layer to `dim`, as AudioCLIP has it; give the stream `projection: identity`."""
    dim: Positive = 1024
    """Width of `output: projected`."""

    def __post_init__(self):
        super().__post_init__()
        if len(self.layers) != 4:
            raise ValueError(f"layers takes 4 numbers, not {len(self.layers)}")
        if self.features == "model":
            raise ValueError("the spectrogram of this tower is learned: it is always in the model")
        if any((self.mask_time, self.mask_bands)):
            raise ValueError("this tower takes the waveform: mask_time and mask_bands would do nothing")
