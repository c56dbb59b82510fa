"""What this plugin registers: the modality `audio` and its towers. Imports nothing heavy."""

from __future__ import annotations

from anyclip.hookspecs import hookimpl
from anyclip.specs import ImporterSpec, ModalitySpec, ReaderSpec, TowerSpec
from anyclip_audio.speech_rows import speech_towers

SUFFIXES = (
    ".wav",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".mp3",
    ".m4a",
    ".aac",
    ".aif",
    ".aiff",
    ".aifc",
    ".au",
    ".caf",
    ".w64",
    ".rf64",
    ".wma",
    ".amr",
    ".mka",
    ".weba",
)

PROMPTS = (
    "this is a sound of {}.",
    "the sound of {}.",
    "a recording of {}.",
    "{} can be heard.",
)
"""The first is the template that the CLAP papers use for ESC-50."""


@hookimpl
def anyclip_modalities():
    yield ModalitySpec(
        name="audio",
        suffixes=SUFFIXES,
        decode="anyclip_audio.decode:decode",
        content_key="anyclip_audio.preview:content_key",
        preview="anyclip_audio.preview:preview",
        synthetic="anyclip_audio.synthetic:render",
        prompts=PROMPTS,
        backends=("soundfile", "torchcodec", "av", "librosa"),
        summary="Sounds: files, bytes, (array, rate)",
    )


_TINY = {
    "htsat": {
        "model": {
            "patch_embeds_hidden_size": 16,
            "depths": [2, 1],
            "num_attention_heads": [2, 4],
            "window_size": 4,
            "spec_size": 64,
            "num_mel_bins": 16,
        },
        "sample_rate": 16_000,
        "n_fft": 512,
        "hop": 160,
        "seconds": 2.0,
    },
    "pann": {"size": "cnn10", "channels": [8, 16, 24], "sample_rate": 16_000, "n_mels": 32, "hop": 320, "seconds": 1.5},
    "wav2clip": {"layers": [1, 1, 1, 1], "seconds": 1.0},
    "esresnext": {
        "layers": [1, 1, 1, 1],
        "sample_rate": 16_000,
        "seconds": 1.0,
        "frame": 400,
        "step": 200,
        "points": 512,
    },
}


@hookimpl
def anyclip_towers():
    for name, cls, summary in (
        ("htsat", "Htsat", "The Swin-style encoder of CLAP, with or without feature fusion"),
        ("pann", "Pann", "PANNs: Cnn14, Cnn10, Cnn6, and small networks of that kind"),
        ("wav2clip", "Wav2clip", "Wav2CLIP's ResNet-18 on a linear log spectrogram"),
        ("esresnext", "Esresnext", "AudioCLIP's ESResNeXt with a learnable spectrogram"),
    ):
        yield TowerSpec(
            name=f"audio/{name}",
            target=f"anyclip_audio.{name}_tower:{cls}Tower",
            options=f"anyclip_audio.options:{cls}Options",
            summary=summary,
            tiny=_TINY[name],
        )
    yield from speech_towers()


@hookimpl
def anyclip_readers():
    for name, summary in (
        ("esc50", "The folder of ESC-50: class names, five folds"),
        ("urbansound8k", "The folder of UrbanSound8K: class names, ten folds"),
        ("audiocaps", "The tables of AudioCaps over fetched sounds"),
        ("clotho", "The folder of Clotho: five captions a sound"),
    ):
        yield ReaderSpec(
            name=name,
            target=f"anyclip_audio.layouts_{name}:{name.capitalize()}Reader",
            options=f"anyclip_audio.layouts_options:{name.capitalize()}Options",
            summary=summary,
            example=f"anyclip_audio.layouts_examples:{name}",
        )


@hookimpl
def anyclip_importers():
    for name, function, options, summary in (
        (
            "laion-clap",
            "laion_clap",
            "LaionClap",
            "LAION-CLAP: HTSAT with or without fusion, or PANN, and RoBERTa or BERT",
        ),
        ("msclap", "msclap", "MsClap", "MS-CLAP of 2022 (Cnn14, BERT) and 2023 (HTSAT, GPT-2)"),
        ("audioclip", "audioclip", "AudioClip", "AudioCLIP: image, text and audio"),
        ("wav2clip", "wav2clip", "Wav2clip", "Wav2CLIP's audio encoder, alone or with its CLIP"),
        ("transformers-clap", "transformers_clap", "TransformersClap", "ClapModel of transformers"),
        ("open-clip-clap", "open_clip_clap", "OpenClipClap", "Audio-text models of open_clip 4.2"),
    ):
        yield ImporterSpec(
            name=name,
            target=f"anyclip_audio.importers.{function}:import_{function}",
            options=f"anyclip_audio.importers.options:{options}Import",
            summary=summary,
            requires=_IMPORTER_NEEDS.get(name, ("anyclip_text",)),
        )


_IMPORTER_NEEDS = {"audioclip": ("anyclip_image", "anyclip_text"), "wav2clip": ()}
