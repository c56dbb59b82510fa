"""What this plugin registers: the modality `video`, its towers, readers. Imports nothing heavy."""

from __future__ import annotations

from anyclip.hookspecs import hookimpl
from anyclip.specs import EvaluationSpec, ImporterSpec, ModalitySpec, ReaderSpec, SimilaritySpec, TowerSpec

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
        backends=("torchcodec", "decord", "av"),
        summary="Videos: files, bytes, arrays [T, H, W, 3], folders of frames, parts of a file",
    )


_VIT = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16}
_TINY = {
    "frames": {
        "frame": {"name": "image/open_clip", "options": {"model": {"embed_dim": 24, "vision_cfg": _VIT}}},
        "head": "seqTransf",
        "head_layers": 1,
        "frames": 4,
    },
    "transformers": {
        "model": {
            "model_type": "videomae",
            "hidden_size": 24,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "image_size": 32,
            "patch_size": 16,
            "num_frames": 4,
        }
    },
    "features": {
        "dim": 12,
        "length": 5,
        "model": {
            "model_type": "bert",
            "hidden_size": 24,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "vocab_size": 8,
        },
        "cls_id": 0,
        "sep_id": 1,
    },
}


@hookimpl
def anyclip_towers():
    for name, cls, summary in (
        ("frames", "Frames", "Any image tower per frame, with the temporal heads of CLIP4Clip"),
        ("transformers", "Transformers", "VideoMAE, TimeSformer, ViViT, X-CLIP (Microsoft) of transformers"),
        ("features", "Features", "Precomputed features such as S3D's, with the transformer of VideoCLIP"),
    ):
        options = "TransformersVideo" if name == "transformers" else cls
        yield TowerSpec(
            name=f"video/{name}",
            target=f"anyclip_video.{name}_tower:{cls}Tower",
            options=f"anyclip_video.tower_options:{options}Options",
            summary=summary,
            tiny=_TINY[name],
            values="anyclip_video.features_processor:example_features" if name == "features" else None,
        )


@hookimpl
def anyclip_similarities():
    tight = {"dim": 5, "layers": 1, "positions": 8}
    prompts = {"dim": 5, "layers": 1, "heads": 1}
    for name, target, options, summary, tiny in (
        ("clip4clip_tight", "tight_similarity:Tight", "Tight", "A transformer over sentence and frames", tight),
        ("xclip_prompts", "prompts_similarity:Prompts", "Prompts", "Texts changed by the video (X-CLIP)", prompts),
    ):
        yield SimilaritySpec(
            name=name,
            target=f"anyclip_video.{target}Similarity",
            options=f"anyclip_video.tower_options:{options}Options",
            summary=summary,
            tokens=True,
            tiny=tiny,
        )


@hookimpl
def anyclip_evaluations():
    yield EvaluationSpec(
        name="frame_order",
        target="anyclip_video.frame_order:FrameOrder",
        options="anyclip_video.frame_order_options:FrameOrderOptions",
        summary="Whether a model tells a clip from the same clip with its halves swapped",
    )


@hookimpl
def anyclip_importers():
    for name, target, options, summary in (
        ("clip4clip", "clip4clip:import_clip4clip", "Clip4Clip", "CLIP4Clip, each head; or its start from a CLIP"),
        ("xclip", "clip4clip:import_xclip", "XClip", "X-CLIP for retrieval (multi-grained)"),
        ("transformers-xclip", "microsoft:import_microsoft", "Microsoft", "X-CLIP of Microsoft (XCLIPModel)"),
        ("transformers-video", "one_tower:import_video", "OneTower", "VideoMAE, TimeSformer, ViViT of transformers"),
        ("videoclip", "videoclip:import_videoclip", "VideoClip", "VideoCLIP of fairseq's MMPT"),
    ):
        yield ImporterSpec(
            name=name,
            target=f"anyclip_video.importers.{target}",
            options=f"anyclip_video.importers.options:{options}Import",
            summary=summary,
            requires=("anyclip_text",),
        )


@hookimpl
def anyclip_readers():
    for name, summary in (
        ("msrvtt", "The folder of MSR-VTT: 1k-A and the other splits, 20 captions a video"),
        ("msvd", "The folder of MSVD: about 40 captions a video"),
        ("didemo", "The folder of DiDeMo: paragraphs, or moments with their sentence"),
        ("activitynet", "The folder of ActivityNet Captions: paragraphs, or sentences with their part"),
        ("lsmdc", "The folder of LSMDC 2016: film clips with a sentence"),
    ):
        yield ReaderSpec(
            name=name,
            target=f"anyclip_video.layouts_{name}:{name.capitalize()}Reader",
            options=f"anyclip_video.layouts_options:{name.capitalize()}Options",
            summary=summary,
            example=f"anyclip_video.layouts_examples:{name}",
        )
    yield ReaderSpec(
        name="overlapping_clips",
        target="anyclip_video.overlap:OverlappingClipsReader",
        options="anyclip_video.overlap_options:OverlappingClipsOptions",
        summary="Clips and texts of videos with timed captions that overlap in time (VideoCLIP)",
        example="anyclip_video.layouts_examples:overlapping_clips",
    )
