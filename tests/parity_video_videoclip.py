"""VideoCLIP (MMPT) through its importer, against recorded values."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anyclip_video.importers.videoclip import import_videoclip
from parity_report import Line
from parity_video_values import compared, drawn, line, opened, scored, statistics, watched, word_tokenizer
from torch import Tensor

from anyclip.model import JointModel
from anyclip.testing.reference import Difference

POOLED, SCORES = 2e-6, 1e-5


def run(path: Path, data: dict[str, Any]) -> Iterator[Line]:
    """One line: checkpoints, pooled vectors, scores and loss of both seeds."""
    arrays = dict(np.load(path.with_suffix(".npz"), allow_pickle=False))
    yield line(data["system"], list(_differences(data, arrays)))


def build(data: Mapping[str, Any]) -> tuple[JointModel, Any]:
    """The reference model through the importer."""
    c = data["config"]
    ends = {"cls_id": c["vocab"] - 3, "sep_id": c["vocab"] - 2}
    with tempfile.TemporaryDirectory() as folder:
        special = {"cls": ends["cls_id"], "sep": ends["sep_id"], "pad": 0}
        place = word_tokenizer(Path(folder) / "words", c["vocab"], **special)
        options = {"length": c["max_video_len"], "heads": c["heads"], "tokenizer": place}
        return opened(import_videoclip(drawn(data), **ends, **options))


def captions(data: Mapping[str, Any], seed: int) -> dict[str, Tensor]:
    """The recorded captions as the text tower takes them: without the [SEP] that the origin cuts out."""
    c = data["config"]
    length, vocabulary = c["max_len"] - c["max_video_len"], c["vocab"]
    ids = torch.zeros(c["B"], length, dtype=torch.long)
    for b in range(c["B"]):
        n = length - 1 - ((b + seed) % (length // 2))
        ids[b, 0], ids[b, 1] = vocabulary - 3, vocabulary - 2
        for j in range(2, n - 1):
            ids[b, j] = 1 + (7 * b + 13 * j + 5 * seed) % (vocabulary - 4)
        ids[b, n - 1] = vocabulary - 2
    kept = torch.cat([ids[:, :1], ids[:, 2:]], dim=1)
    return {"ids": kept, "mask": kept > 0}


@torch.no_grad()
def _differences(data: Mapping[str, Any], arrays: Mapping[str, Any]) -> Iterator[Difference]:
    model, objectives = build(data)
    video: Any = model.tower("video")
    text: Any = model.tower("text")
    c = data["config"]
    for seed in data["inputs"]["seeds"]:
        want = data["outputs"][f"seed{seed}"]
        generator = torch.Generator().manual_seed(seed)
        features = torch.randn((c["B"], c["max_video_len"], c["input_dim"]), generator=generator)
        mask = torch.arange(c["max_video_len"])[None] < torch.tensor(c["vlen"])[:, None]
        inputs = {"video": {"features": features * mask[..., None], "mask": mask}, "text": captions(data, seed)}
        names = {
            "video_token_mlp": video.videomlp,
            "video_embeddings": video.bert.embeddings,
            "text_embeddings": text.model.embeddings,
        }
        with watched(names) as seen:
            found = scored(model, objectives, inputs)
        texts, videos = (side["embedding"] for side in found["sides"])
        yield compared("pooled_video", videos, arrays[f"seed{seed}/pooled_video"], POOLED)
        yield compared("pooled_text", texts, arrays[f"seed{seed}/pooled_text"], POOLED)
        yield compared("scores", found["scores"], want["scores_text_by_video"], SCORES)
        yield compared("loss", found["loss"], want["loss_video_plus_text"], SCORES)
        for name, stat in want["checkpoints"].items():
            yield from statistics(name, seen[name], stat, SCORES)
