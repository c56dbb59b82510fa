"""X-CLIP of Microsoft through its importer, against recorded values of the transformers library."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anyclip_video.importers.microsoft import import_microsoft
from parity_report import Line
from parity_video_values import (
    compared,
    drawn,
    line,
    opened,
    scored,
    statistics,
    token_ids,
    watched,
    word_tokenizer,
)

from anyclip.model import JointModel
from anyclip.testing.reference import Difference

NEAR = 2e-6


def run(path: Path, data: dict[str, Any]) -> Iterator[Line]:
    """One line: checkpoints, vectors, scores and loss of both seeds."""
    arrays = dict(np.load(path.with_suffix(".npz"), allow_pickle=False))
    yield line(data["system"], list(_differences(data, arrays)))


def build(data: Mapping[str, Any]) -> tuple[JointModel, Any]:
    """The reference model through the importer."""
    c = data["config"]
    vision = {
        "hidden_size": c["vh"],
        "num_hidden_layers": c["vl"],
        "num_attention_heads": c["vhead"],
        "intermediate_size": c["vision_intermediate"],
        "image_size": c["res"],
        "patch_size": c["patch"],
        "num_frames": c["T"],
        "mit_hidden_size": c["mit_h"],
        "mit_num_hidden_layers": c["mit_l"],
        "mit_num_attention_heads": c["mit_heads"],
        "mit_intermediate_size": c["mit_intermediate"],
    }
    text = {
        "vocab_size": c["vocab"],
        "hidden_size": c["th"],
        "num_hidden_layers": c["tl"],
        "num_attention_heads": c["thead"],
        "intermediate_size": c["text_intermediate"],
        "max_position_embeddings": c["L"],
    }
    config = {
        "model_type": "xclip",
        "vision_config": vision,
        "text_config": text,
        "projection_dim": c["proj"],
        "prompt_layers": c["prompt_layers"],
        "prompt_alpha": c["prompt_alpha"],
        "prompt_num_attention_heads": c["prompt_heads"],
    }
    with tempfile.TemporaryDirectory() as folder:
        ends = {"bos": c["vocab"] - 2, "eos": c["vocab"] - 1, "pad": 0}
        place = word_tokenizer(Path(folder) / "words", c["vocab"], **ends)
        return opened(import_microsoft(drawn(data), config=config, tokenizer=place))


@torch.no_grad()
def _differences(data: Mapping[str, Any], arrays: Mapping[str, Any]) -> Iterator[Difference]:
    model, objectives = build(data)
    video: Any = model.tower("video").model
    similarity: Any = objectives[0].similarity  # type: ignore[union-attr]
    c = data["config"]
    for seed in data["inputs"]["seeds"]:
        want = data["outputs"][f"seed{seed}"]
        generator = torch.Generator().manual_seed(seed)
        frames = torch.randn((c["B"], c["T"], 3, c["res"], c["res"]), generator=generator)
        ids, mask = token_ids(c["B"], c["L"], c["vocab"], seed)
        inputs = {
            "video": {"frames": frames, "mask": torch.ones(frames.shape[:2], dtype=torch.bool)},
            "text": {"ids": ids, "mask": mask},
        }
        names = {
            "vision_layer0": video.vision_model.encoder.layers[0],
            "visual_projection_of_frame_class_tokens": video.visual_projection,
        }
        with watched(names) as seen:
            found = scored(model, objectives, inputs)
        texts, videos = found["sides"]
        prompted = torch.stack(
            [similarity.prompted(texts["embedding"], p.expand(len(ids), -1, -1)) for p in videos["patches"]]
        )
        yield compared("logits_per_video", found["scores"].T, want["logits_per_video"], NEAR)
        yield compared("loss", found["loss"], want["loss"], NEAR)
        units = torch.nn.functional.normalize
        yield compared("video_embeds", units(videos["embedding"], dim=-1), arrays[f"seed{seed}/video_embeds"], NEAR)
        yield compared("text_embeds", units(prompted, dim=-1), arrays[f"seed{seed}/text_embeds"], NEAR)
        for name, stat in want["checkpoints"].items():
            value = seen[name].reshape(stat["shape"])
            yield from statistics(name, value, stat, 1e-5)  # not normalised, values up to 4
