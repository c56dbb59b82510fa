"""Does a run that is killed at random go on as if it had not been? SIGKILL, then --resume, then compare every bit.

Each killed run has toy towers with dropout, augmentation noise, missing values and two loader workers; half of them go
on with another number of workers. Compared with one run that was never stopped: the sequence of losses, the weights,
the objectives, the optimizer's state. Also: no process of a killed run may be alive 10 seconds later.

    python benchmarks/resume.py [--kills 10] [--steps 40] [--seed 0]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from anyclip.checkpoint import RunFolder
from anyclip.trainer.metrics import read_metrics

CONFIG = """\
model:
  dim: 16
  towers:
    a: {name: toy/mlp, options: {dropout: 0.2, noise: 0.2, width: 64}}
    b: {name: toy/mlp, options: {dropout: 0.2, noise: 0.2, width: 64, size: 12}}
objectives:
  - {pair: [a, b]}
data:
  train:
    - name: synthetic
      options: {size: 200, streams: {b: {missing: 0.2, options: {size: 12, seed: 1}}}}
  batch_size: 16
  workers: 2
optimizer: {lr: 1.0e-3}
schedule: {name: cosine, warmup_steps: 5}
train: {accelerator: cpu, devices: 1, threads: 1, log_every: 1, checkpoint_every: 7, ema: 0.9}
"""
MARK = "ANYCLIP_RESUME_BENCHMARK"  # every process that a run starts inherits this variable
SECONDS_TO_END = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "resume.yaml"
        config.write_text(CONFIG)
        start(config, Path(folder) / "whole", options.steps).wait()
        wanted = result(Path(folder) / "whole")
        equal = 0
        for number in range(options.kills):
            workers = 2 if number % 2 == 0 else rng.choice([0, 1, 3])
            run = Path(folder) / f"run{number}"
            step, alive = kill(config, run, options.steps, rng.randint(1, options.steps - 2))
            start(config, run, options.steps, "--resume", f"data.workers={workers}").wait()
            same = result(run) == wanted
            equal += same and not alive
            left = f", {len(alive)} processes left behind" if alive else ""
            print(
                f"killed after step {step:3d}, resumed with {workers} workers: {'equal' if same else 'DIFFERENT'}{left}"
            )
    print(f"{equal} of {options.kills} bit for bit, no process alive {SECONDS_TO_END:.0f} s after its trainer")
    return 0 if equal == options.kills else 1


def start(config: Path, run: Path, steps: int, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "anyclip.cli.main", "train", str(config), "--quiet"]
    return subprocess.Popen(
        [*command, f"train.out={run}", f"train.steps={steps}", *more],
        env={**os.environ, MARK: str(run), "OMP_NUM_THREADS": "1"},
    )


def kill(config: Path, run: Path, steps: int, after: int) -> tuple[int, list[int]]:
    """SIGKILL once `after` steps are logged; (last step that was logged, processes alive ten seconds later)."""
    process = start(config, run, steps)
    while last_step(run) < after and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    end = time.monotonic() + SECONDS_TO_END
    while (alive := marked(run)) and time.monotonic() < end:
        time.sleep(0.1)
    return last_step(run), alive


def last_step(run: Path) -> int:
    return max((r["step"] for r in read_metrics(run / "metrics.jsonl")), default=0)


def result(run: Path) -> tuple[list[tuple[int, float]], dict[str, bytes]]:
    """The sequence of losses, and every tensor file of the last checkpoint."""
    losses = [(r["step"], r["loss"]) for r in read_metrics(run / "metrics.jsonl") if "loss" in r]
    latest = RunFolder(run).latest()
    return losses, {p.name: p.read_bytes() for p in sorted(latest.glob("*.safetensors"))} if latest else {}


def marked(run: Path) -> list[int]:
    """Processes that carry the mark of a run."""
    wanted = f"{MARK}={run}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
