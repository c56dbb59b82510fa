"""What this plugin registers: the modality `audio` and its towers. Imports nothing heavy."""

from __future__ import annotations

from anyclip.hookspecs import hookimpl
from anyclip.specs import ModalitySpec

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
        summary="Sounds: files, bytes, (array, rate)",
    )
