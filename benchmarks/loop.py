"""What the training loop costs: anyclip's loop over a bare PyTorch loop, on the same model and batches.

Ours is the whole loop of a run: metrics.jsonl every 10 steps, the live progress display (on a pseudo-terminal), the
checks for values that are not finite, gradient norm, learned scale with its clamp, schedule, signals. The bare loop
calls the same towers and projections, the plain symmetric cross-entropy and the same fused AdamW. Batches are collated
beforehand for both. Rounds are interleaved (A B A B ...), each is some steps; CPU seconds of the process, medians.

    python benchmarks/loop.py [--rounds 20] [--steps 5] [--threads 1]
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.nn import functional as F

from anyclip.checkpoint import RunFolder
from anyclip.config import config_from_dict
from anyclip.data import Batch
from anyclip.trainer.fit import fit
from anyclip.trainer.launch import launched
from anyclip.trainer.metrics import MetricsFile
from anyclip.trainer.progress import Display, create_display
from anyclip.trainer.session import Session, build_session
from anyclip.trainer.signals import StopSignals

BATCH, DIM = 16, 256
VISION = {"image_size": 96, "patch_size": 16, "width": 192, "layers": 4, "head_width": 64}
TEXT = {"context_length": 48, "width": 192, "heads": 3, "layers": 4, "vocab_size": 259}
CONFIG = {
    "model": {
        "dim": DIM,
        "towers": {
            "image": {"name": "image/open_clip", "options": {"model": {"embed_dim": DIM, "vision_cfg": VISION}}},
            "text": {
                "name": "text/open_clip",
                "options": {"model": {"embed_dim": DIM, "text_cfg": TEXT}, "tokenizer": "bytes", "pad": "context"},
            },
        },
    },
    "objectives": [{"pair": ["image", "text"]}],
    "data": {"train": [{"name": "synthetic", "options": {"size": 1024}}], "batch_size": BATCH, "workers": 0},
    "optimizer": {"name": "adamw", "lr": 1e-3},
    "train": {"steps": 1_000_000, "accelerator": "cpu", "devices": 1, "log_every": 10},
}
STREAMS = ("image", "text")


class RoundOver(Exception):
    """Ends `fit` after a round without its final checkpoint."""


class Prepared:
    """In place of TrainData: the same collated batches again and again, `steps` of them in each round."""

    def __init__(self, batches: list[Batch], steps: int):
        self._batches, self._steps = batches, steps

    def batches(self, start: int) -> Iterator[Batch]:
        for step in range(self._steps):
            yield self._batches[step % len(self._batches)]
        raise RoundOver


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=5, help="per round")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    config = config_from_dict({**CONFIG, "train": {**CONFIG["train"], "threads": options.threads}})
    with tempfile.TemporaryDirectory() as folder, launched(config.train) as fabric:
        session = build_session(config, RunFolder(Path(folder)), fabric, Display(), checkpoint=None)
        with session.data as data:
            batches = list(itertools.islice(data.batches(), 8))
        session.data = Prepared(batches, options.steps)  # type: ignore[assignment]
        session.metrics = MetricsFile(Path(folder) / "metrics.jsonl")
        bare = make_bare(session, batches, options.steps)
        with a_terminal():
            session.display = create_display("auto")
            session.display.start(0, session.steps)
            seconds = measure(lambda: ours(session), bare, options.rounds)
            session.display.close()
        session.data = None  # type: ignore[assignment]
        session.metrics.close()
    step = statistics.median(seconds["bare"]) / options.steps
    ratios = [a / b for a, b in zip(seconds["ours"], seconds["bare"])]
    result = {
        "bare_ms_per_step": round(1000 * step, 2),
        "ratio_of_medians": round(statistics.median(seconds["ours"]) / statistics.median(seconds["bare"]), 4),
        "ratio_of_minima": round(min(seconds["ours"]) / min(seconds["bare"]), 4),
        "median_of_ratios": round(statistics.median(ratios), 4),
        "ratios": [round(r, 3) for r in ratios],
    }
    print(json.dumps(result))


def ours(session: Session) -> None:
    with StopSignals(tell=False) as signals:
        try:
            fit(session, signals)
        except RoundOver:
            return


def make_bare(session: Session, batches: list[Batch], steps: int) -> Callable[[], None]:
    """A plain loop over a copy of the model."""
    from anyclip.model import build_model

    model = build_model(session.config.model, seed=1)
    towers, projections = (dict(m.items()) for m in (model.towers, model.projections))
    scale = torch.nn.Parameter(torch.tensor([2.659]))
    parameters = [*model.parameters(), scale]
    decayed = [p for p in parameters if p.ndim > 1]
    plain = [{"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, *plain], lr=1e-3, betas=(0.9, 0.98), eps=1e-6, fused=True
    )
    labels = torch.arange(BATCH)

    def run() -> None:
        for step in range(steps):
            inputs = batches[step % len(batches)].parts[0].inputs
            a, b = (F.normalize(projections[s](towers[s](inputs[s]).pooled), dim=-1) for s in STREAMS)
            logits = scale.exp() * a @ b.T
            loss = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            loss.item()

    return run


def measure(first: Callable[[], None], second: Callable[[], None], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each round, after one of each that does not count."""
    seconds: dict[str, list[float]] = {"ours": [], "bare": []}
    for number in range(rounds + 1):
        for name, function in (("ours", first), ("bare", second)):
            began = time.process_time()
            function()
            if number:
                seconds[name].append(time.process_time() - began)
    return seconds


@contextlib.contextmanager
def a_terminal() -> Iterator[None]:
    """stderr is a pseudo-terminal that somebody reads, so that the progress display is really drawn."""
    reader, writer = os.openpty()

    def drain() -> None:
        with contextlib.suppress(OSError):  # the other end was closed
            while os.read(reader, 65536):
                pass

    threading.Thread(target=drain, daemon=True).start()
    before = sys.stderr
    with os.fdopen(writer, "w") as sys.stderr:
        try:
            yield
        finally:
            sys.stderr = before


if __name__ == "__main__":
    main()
