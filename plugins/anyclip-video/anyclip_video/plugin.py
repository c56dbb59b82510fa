"""What this plugin registers: the modality `video`, its towers, readers. Imports nothing heavy."""

from __future__ import annotations

from anyclip.hookspecs import hookimpl
from anyclip.specs import ModalitySpec

SUFFIXES = (
    ".mp4",
    ".m4v",
    ".mov",
    ".webm",
    ".mkv",
    ".avi",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".flv",
    ".ogv",
    ".3gp",
    ".ts",
    ".mts",
)

PROMPTS = ("a video of {}.", "a video of a person {}.", "{}.", "a clip that shows {}.")


@hookimpl
def anyclip_modalities():
    yield ModalitySpec(
        name="video",
        suffixes=SUFFIXES,
        decode="anyclip_video.decode:decode",
        content_key="anyclip_video.preview:content_key",
        preview="anyclip_video.preview:preview",
        synthetic="anyclip_video.synthetic:render",
        prompts=PROMPTS,
        summary="Videos: files, bytes, arrays [T, H, W, 3], folders of frames, parts of a file",
    )
