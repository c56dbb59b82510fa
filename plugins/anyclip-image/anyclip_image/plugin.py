"""What this plugin registers: the modality `image` and its towers. Imports nothing heavy."""

from __future__ import annotations

from anyclip.hookspecs import hookimpl
from anyclip.specs import ModalitySpec, TowerSpec

SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".webp",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".pbm",
    ".jp2",
    ".avif",
)

PROMPTS = (
    "a photo of a {}.",
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
"""The plain template and the seven that the CLIP authors found to be a good small ensemble on ImageNet."""


@hookimpl
def anyclip_modalities():
    yield ModalitySpec(
        name="image",
        suffixes=SUFFIXES,
        decode="anyclip_image.decode:decode",
        content_key="anyclip_image.preview:content_key",
        preview="anyclip_image.preview:preview",
        synthetic="anyclip_image.synthetic:render",
        prompts=PROMPTS,
        summary="Still pictures: files, bytes, arrays, PIL images",
    )


@hookimpl
def anyclip_towers():
    for name, cls, summary in (
        ("open_clip", "OpenClip", "Every vision tower of open_clip, by model name or an inline config"),
        ("timm", "Timm", "Every model of timm without its classifier"),
        ("transformers", "Transformers", "Vision encoders of transformers: CLIP, SigLIP, ViT, DINOv2, ConvNeXt ..."),
        ("torchvision", "Torchvision", "Classification models of torchvision without their classifier"),
    ):
        yield TowerSpec(
            name=f"image/{name}",
            target=f"anyclip_image.{name}_tower:{cls}Tower",
            options=f"anyclip_image.options:{cls}Options",
            summary=summary,
        )
