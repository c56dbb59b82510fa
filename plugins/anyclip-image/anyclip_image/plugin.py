"""What this plugin registers: the modality `image` and its towers. Imports nothing heavy."""

from __future__ import annotations

from anyclip.hookspecs import hookimpl
from anyclip.specs import ImporterSpec, ModalitySpec, TowerSpec

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


_TINY = {
    "open_clip": {
        "model": {
            "embed_dim": 24,
            "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
        }
    },
    "timm": {"model": "test_vit", "image_size": 64},
    "transformers": {
        "model": {
            "model_type": "clip_vision_model",
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "image_size": 32,
            "patch_size": 8,
        }
    },
    "torchvision": {"model": "shufflenet_v2_x0_5", "image_size": 64},
}


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
            tiny=_TINY[name],
        )


@hookimpl
def anyclip_importers():
    for name, target, options, summary in (
        ("openai-clip", "openai_clip:import_openai_clip", "OpenAIClipImport", "OpenAI CLIP: archives and state dicts"),
        (
            "open-clip",
            "open_clip:import_open_clip",
            "OpenClipImport",
            "Any open_clip checkpoint, by model name",
        ),
        ("transformers-clip", "transformers_pair:import_clip", "TransformersImport", "CLIPModel of transformers"),
        ("transformers-siglip", "transformers_pair:import_siglip", "TransformersImport", "SiglipModel of transformers"),
    ):
        yield ImporterSpec(
            name=name,
            target=f"anyclip_image.importers.{target}",
            options=f"anyclip_image.importers.options:{options}",
            summary=summary,
            requires=("anyclip_text",),
        )
