"""CPU time and temperature gradient of a batch in pieces: our cached step against open_clip's `accum_freq` loop.

    python benchmarks/accumulation.py [--pieces 8] [--piece 256] [--width 256] [--repeats 5] [--json]

Both encode every piece twice, which lets the loss see the negatives of the whole batch. open_clip's own
`train_one_epoch` takes that loss once per piece, ours once. Same towers (small MLPs, so that the loss matters), same
weights, float32, one thread; CPU seconds (user + system) of interleaved repeats, medians. Gradients are compared with
those of one backward pass through the whole batch. Exits with 1 when the time or a gradient misses its goal.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import sys
import time
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn

from anyclip.config import config_from_dict
from anyclip.data.batch import Batch, Part
from anyclip.model import JointModel, build_model
from anyclip.objectives import build_objectives
from anyclip.step import Step, train_step

GOAL = 0.18
TOLERANCE = 1e-4  # relative, of our gradients
SIZE, DIM = 256, 512  # length of the input vectors; width of the joint space
Gradients = dict[str, Tensor]


class Data:
    """What `train_one_epoch` asks of its data: pieces of two streams, and their numbers."""

    def __init__(self, pieces: list[tuple[Tensor, Tensor]]):
        self.pieces = pieces
        self.num_batches, self.num_samples = len(pieces), sum(len(a) for a, _ in pieces)
        self.dataloader = self

    def set_epoch(self, epoch: int) -> None:
        """Every epoch is the same."""

    def __iter__(self):
        return iter(self.pieces)


class Peer(nn.Module):
    """Our towers with the interface of an open_clip model, which returns features and the scale."""

    def __init__(self, step: Step):
        super().__init__()
        self.model: JointModel = step.model
        self.logit_scale: nn.Parameter = step.objectives[0].log_scale  # type: ignore[assignment]

    def forward(self, image: Tensor, text: Tensor) -> dict[str, Tensor]:
        features = {"image_features": self.model.embed("a", image), "text_features": self.model.embed("b", text)}
        return {**features, "logit_scale": self.logit_scale.exp().squeeze()}

    def gradients(self) -> Gradients:
        found = {f"model.{name}": p.grad.clone() for name, p in self.model.named_parameters() if p.grad is not None}
        assert self.logit_scale.grad is not None
        return {**found, "scale": self.logit_scale.grad.clone()}


def build(width: int) -> Step:
    """Two small MLPs with linear projections, one InfoNCE."""
    tower = {"name": "toy/mlp", "options": {"size": SIZE, "width": width, "depth": 1}, "projection": "linear"}
    config = config_from_dict(
        {"model": {"dim": DIM, "towers": {"a": tower, "b": tower}}, "objectives": [{"pair": ["a", "b"]}]}
    )
    model = build_model(config.model, seed=1)
    return Step(model, build_objectives(config, model)).train()


def make_pieces(pieces: int, rows: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(pieces):
        a, noise = (torch.randn(rows, SIZE, generator=generator) for _ in range(2))
        made.append((a, a + noise))
    return made


def make_batch(pieces: list[tuple[Tensor, Tensor]]) -> Batch:
    parts, start = [], 0
    for a, b in pieces:
        rows = torch.arange(start, start + len(a))
        parts.append(Part({"a": a, "b": b}, {"a": rows, "b": rows}))
        start += len(a)
    return Batch(parts, start, (0, start))


def run_ours(step: Step, batch: Batch) -> tuple[float, Gradients]:
    start = time.process_time()
    train_step(step, batch, step=0)
    return time.process_time() - start, Peer(step).gradients()


def run_peer(peer: Peer, data: Data, optimizer: torch.optim.Optimizer) -> tuple[float, Gradients]:
    """One optimizer step (learning rate 0) of open_clip's own loop, with all pieces accumulated."""
    from open_clip.loss import ClipLoss
    from open_clip_train.train import train_one_epoch

    settings = SimpleNamespace(
        accum_freq=data.num_batches,
        batch_size=len(data.pieces[0][0]),
        device="cpu",
        distill=False,
        grad_clip_norm=None,
        horovod=False,
        log_every_n_steps=10**9,
        precision="fp32",
        rank=0,
        skip_scheduler=True,
        wandb=False,
        world_size=1,
    )
    start = time.process_time()
    train_one_epoch(peer, {"train": data}, ClipLoss(), 0, optimizer, None, None, None, settings)
    return time.process_time() - start, peer.gradients()


def true_gradients(peer: Peer, pieces: list[tuple[Tensor, Tensor]]) -> Gradients:
    """One pass through the whole batch, in float64, with torch's cross entropy."""
    whole = copy.deepcopy(peer).double()
    whole.zero_grad()
    a, b = (torch.cat(side).double() for side in zip(*pieces))
    towers = whole.model
    x, y = (nn.functional.normalize(towers.features(s, towers.encode(s, v)), dim=-1) for s, v in (("a", a), ("b", b)))
    logits = x @ y.T * whole.logit_scale.exp()
    labels = torch.arange(len(a))
    sum(nn.functional.cross_entropy(side, labels) / 2 for side in (logits, logits.T)).backward()  # type: ignore[union-attr]
    return whole.gradients()


def tower_error(got: Gradients, want: Gradients) -> float:
    """Relative error of all tower gradients together."""
    names = [n for n in want if n != "scale"]
    off = sum(float((got[n].double() - want[n]).square().sum()) for n in names)
    return (off / sum(float(want[n].square().sum()) for n in names)) ** 0.5


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(1)
    step = build(asked.width)
    peer = Peer(copy.deepcopy(step))
    pieces = make_pieces(asked.pieces, asked.piece)
    batch, data = make_batch(pieces), Data(pieces)
    optimizer = torch.optim.SGD(peer.parameters(), lr=0.0)
    truth = true_gradients(peer, pieces)
    runs = {"anyclip": lambda: run_ours(step, batch), "open_clip": lambda: run_peer(peer, data, optimizer)}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    found: dict[str, Any] = {"pieces": asked.pieces, "piece": asked.piece, "true scale gradient": float(truth["scale"])}
    for repeat in range(-1, asked.repeats):  # the first is a warm-up
        for name, run in runs.items():
            spent, gradients = run()
            if repeat >= 0:
                seconds[name].append(spent)
            found[f"{name} scale gradient"] = float(gradients["scale"])
            found[f"{name} tower error"] = tower_error(gradients, truth)
    found |= {f"{name} seconds": statistics.median(spent) for name, spent in seconds.items()}
    return {**found, "ratio": found["anyclip seconds"] / found["open_clip seconds"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", type=int, default=8)
    parser.add_argument("--piece", type=int, default=256, help="rows of a piece")
    parser.add_argument("--width", type=int, default=256, help="of the towers")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measure(asked)
    true = found["true scale gradient"]
    exact = abs(found["anyclip scale gradient"] / true - 1) < TOLERANCE and found["anyclip tower error"] < TOLERANCE
    met = exact and found["ratio"] <= GOAL
    if asked.json:
        print(json.dumps({**found, "goal": GOAL, "met": met}))
        return 0 if met else 1
    print(f"{asked.pieces} pieces of {asked.piece}, towers of width {asked.width}")
    print(f"{'':12}{'seconds':>10}{'d / d log scale':>18}{'of the true one':>17}{'tower error':>14}")
    print(f"{'one pass':12}{'':10}{true:18.6f}{1:17.4f}")
    for name in ("anyclip", "open_clip"):
        slope = found[f"{name} scale gradient"]
        line = f"{name:12}{found[f'{name} seconds']:10.3f}{slope:18.6f}{slope / true:17.4f}"
        print(f"{line}{found[f'{name} tower error']:14.1e}")
    print(f"time {found['ratio']:.3f} of open_clip's, goal {GOAL}: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
