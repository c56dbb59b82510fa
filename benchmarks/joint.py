"""What training several modalities together costs: a joint step over the sum of its towers' own steps.

The joint step is anyclip's: five towers, their projections, every pair of the config, one backward pass, AdamW. The sum
is plain PyTorch over copies of the same modules, one stream at a time: forward, backward from a gradient of the same
size, AdamW on that stream's parameters. Same inputs, interleaved rounds, CPU seconds, medians.

    python benchmarks/joint.py [--rounds 12] [--batch 16] [--threads 1] [--config configs/joint-five.yaml]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from anyclip.api.examples import example_samples
from anyclip.config import load_config
from anyclip.data.batch import Batch, batch_of
from anyclip.model import build_model
from anyclip.objectives import build_objectives
from anyclip.step import Step, after_step, train_step

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "joint-five.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--config", default=str(CONFIG))
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    config = load_config(chosen.config)
    model = build_model(config.model, seed=0)
    inputs = {s: model.processor(s).collate(example_samples(model, s, chosen.batch)) for s in model.streams}
    batch = batch_of(inputs, {s: torch.arange(chosen.batch) for s in inputs}, chosen.batch)
    joint = joint_step(model, config, batch)
    single = {stream: tower_step(build_model(config.model, seed=0), stream, inputs[stream]) for stream in inputs}
    seconds: dict[str, list[float]] = {"joint": [], **{stream: [] for stream in single}}
    for number in range(chosen.rounds + 2):  # the first two do not count
        for name, run in {"joint": joint, **single}.items():
            began = time.process_time()
            run()
            if number > 1:
                seconds[name].append(time.process_time() - began)
    towers = {stream: statistics.median(seconds[stream]) for stream in single}
    ratios = [j / sum(s) for j, *s in zip(seconds["joint"], *(seconds[stream] for stream in single))]
    result = {
        "joint_ms": round(1000 * statistics.median(seconds["joint"]), 1),
        "towers_ms": {stream: round(1000 * value, 1) for stream, value in towers.items()},
        "ratio_of_medians": round(statistics.median(seconds["joint"]) / sum(towers.values()), 4),
        "median_of_ratios": round(statistics.median(ratios), 4),
    }
    print(json.dumps(result))


def joint_step(model: Any, config: Any, batch: Batch) -> Callable[[], None]:
    step = Step(model, build_objectives(config, model), seed=0)
    optimizer = torch.optim.AdamW(step.parameters(), lr=1e-4, fused=True)

    def run() -> None:
        output = train_step(step, batch, step=0)
        optimizer.step()
        after_step(step, output)

    return run


def tower_step(model: Any, stream: str, inputs: Any) -> Callable[[], None]:
    """One stream alone. A shared tower is run for each stream that uses it, as in the joint step."""
    tower, projection = model.tower(stream), model.projection(stream)
    parameters = {id(p): p for module in (tower, projection) for p in module.parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(list(parameters.values()), lr=1e-4, fused=True)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        features = projection(tower(inputs).pooled)
        features.backward(torch.ones_like(features))
        optimizer.step()

    return run


if __name__ == "__main__":
    main()
