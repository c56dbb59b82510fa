"""CPU time and memory of the contrastive losses, forward and backward: ours in tiles against open_clip's.

    python benchmarks/loss.py [--size 16384] [--siglip-size 8192] [--repeats 3] [--large] [--json]

InfoNCE against `ClipLoss`, SigLIP against `SigLipLoss`, both as one process uses them; unit embeddings of width 512,
float32, one thread, gradients of both sides, scale (and bias). CPU seconds (user + system) of interleaved repeats,
medians. Memory: the peak of a fresh process over what it held before the call. Loss and gradients must agree. `--large`
also takes 65,536 rows once, which a score matrix (17 GB) would not allow. Exits with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

from anyclip.losses import create_loss

WIDTH = 512
LARGE = 65_536
GOALS = {  # of the peer's: highest share of its time, and how many times smaller the peak must be
    "infonce": (0.58, 28),
    "infonce bf16": (0.33, None),
    "siglip": (0.72, 15),
    "siglip bf16": (None, None),
}
PEERS = {"infonce": "ClipLoss", "siglip": "SigLipLoss"}
TOLERANCE = {"float32": 2e-5, "bfloat16": 2e-2}  # of gradients, relative
LARGE_MEGABYTES = 2000


@dataclass
class Inputs:
    """Leaves: embeddings [N, D], scale [1], bias [1]."""

    a: Tensor
    b: Tensor
    scale: Tensor
    bias: Tensor

    @property
    def leaves(self) -> list[Tensor]:
        return [self.a, self.b, self.scale, self.bias]


def make_inputs(n: int, scale: float) -> Inputs:
    """A batch that is half learned: pairs have a cosine of about 0.3, others of 0 +- 0.04."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, WIDTH, generator=generator) for _ in range(2))
    b.mul_(0.95).add_(a, alpha=0.3)
    for side in (a, b):
        side.div_(side.norm(dim=1, keepdim=True))
    scalars = torch.tensor([scale]), torch.tensor([-10.0])
    return Inputs(*(x.requires_grad_() for x in (a, b, *scalars)))


def losses(name: str) -> Callable[[Inputs], Tensor]:
    """`infonce`, `infonce bf16`, `siglip`, `siglip bf16`, or the name of open_clip's class."""
    if name in PEERS.values():
        import open_clip.loss

        peer = getattr(open_clip.loss, name)()
        if name == "ClipLoss":
            return lambda x: peer(x.a, x.b, x.scale)
        return lambda x: peer(x.a, x.b, x.scale, x.bias)
    kind, _, low = name.partition(" ")
    loss = create_loss(kind, tile_dtype="bfloat16" if low else "float32")
    bias = {"infonce": lambda x: None, "siglip": lambda x: x.bias}[kind]
    return lambda x: loss(x.a, x.b, scale=x.scale, bias=bias(x))


def call(loss: Callable[[Inputs], Tensor], inputs: Inputs) -> tuple[float, list[Tensor]]:
    """CPU seconds of forward and backward; the loss and the gradients."""
    for leaf in inputs.leaves:
        leaf.grad = None
    start = time.process_time()
    value = loss(inputs).sum()
    value.backward()
    spent = time.process_time() - start
    return spent, [value.detach(), *(x.grad for x in inputs.leaves if x.grad is not None)]


def difference(got: list[Tensor], want: list[Tensor]) -> float:
    """Largest relative difference of the loss and of each gradient's norm."""
    return max(float((x - y).norm() / y.norm()) for x, y in zip(got, want, strict=True))


def time_family(kind: str, n: int, scale: float, repeats: int) -> dict[str, Any]:
    """Seconds of the peer and of ours with float32 and bfloat16 tiles, interleaved; differences from the peer."""
    inputs, small = make_inputs(n, scale), make_inputs(256, scale)
    names = [PEERS[kind], kind, f"{kind} bf16"]
    calls = {name: losses(name) for name in names}
    for name in names:
        call(calls[name], small)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    result: dict[str, Any] = {"rows": n}
    for repeat in range(repeats):
        reference: list[Tensor] = []
        for name in names:
            spent, found = call(calls[name], inputs)
            seconds[name].append(spent)
            if repeat == 0 and name == PEERS[kind]:
                reference = found
            elif repeat == 0:
                result[f"{name} difference"] = difference(found, reference)
            del found
    result |= {f"{name} seconds": statistics.median(spent) for name, spent in seconds.items()}
    return result


def resident(key: str) -> float:
    """MB of this process: VmRSS now, VmHWM at its peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"/proc/self/status has no {key}")


def child(name: str, n: int, scale: float) -> None:
    """In a fresh process: peak over what was held before, CPU seconds, and the peak of the whole process."""
    torch.set_num_threads(1)
    loss = losses(name)
    call(loss, make_inputs(64, scale))  # libraries set themselves up
    inputs = make_inputs(n, scale)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports
    before = resident("VmRSS")
    spent, _ = call(loss, inputs)
    peak = resident("VmHWM")
    print(json.dumps({"megabytes": peak - before, "whole": peak, "seconds": spent}))


def in_child(name: str, n: int, scale: float) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", name, "--size", str(n), "--scale", str(scale)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind, n in (("infonce", asked.size), ("siglip", asked.siglip_size)):
        family = time_family(kind, n, asked.scale, asked.repeats)
        for name in (PEERS[kind], kind, f"{kind} bf16"):
            family[f"{name} megabytes"] = in_child(name, n, asked.scale)["megabytes"]
        found[kind] = family
    if asked.large:
        found["large"] = {"rows": LARGE, **in_child("infonce", LARGE, asked.scale)}
    return found


def report(found: dict[str, Any]) -> tuple[list[str], bool]:
    """Lines of a table, and whether every goal is met."""
    lines, met = [f"{'':14}{'rows':>8}{'seconds':>10}{'of peer':>9}{'MB':>9}{'smaller':>9}{'difference':>12}"], True
    for kind, peer in PEERS.items():
        family = found[kind]
        for name in (peer, kind, f"{kind} bf16"):
            seconds, size = family[f"{name} seconds"], family[f"{name} megabytes"]
            line = f"{name:14}{family['rows']:8}{seconds:10.2f}"
            if name != peer:
                share, times = seconds / family[f"{peer} seconds"], family[f"{peer} megabytes"] / size
                most, least = GOALS[name]
                different = family[f"{name} difference"]
                tolerance = TOLERANCE["bfloat16" if "bf16" in name else "float32"]
                good = (not most or share <= most) and (not least or times >= least) and different <= tolerance
                wanted = [f"time <= {most}"] * bool(most) + [f"memory 1/{least}"] * bool(least)
                line += f"{share:9.3f}{size:9.0f}{f'1/{times:.0f}':>9}{different:12.1e}"
                line += f"   {', '.join(wanted)}: {'met' if good else 'MISSED'}" if wanted else ""
                met &= good
            else:
                line += f"{'':9}{size:9.0f}"
            lines.append(line)
    if "large" in found:
        large = found["large"]
        good = large["whole"] < LARGE_MEGABYTES
        lines.append(
            f"infonce {large['rows']} rows: {large['seconds']:.0f} s, the whole process {large['whole']:.0f} MB "
            f"(goal {LARGE_MEGABYTES}: {'met' if good else 'MISSED'})"
        )
        met &= good
    return lines, met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=16_384, help="rows of InfoNCE")
    parser.add_argument("--siglip-size", type=int, default=8192, help="rows of SigLIP")
    parser.add_argument("--scale", type=float, default=1 / 0.07)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="InfoNCE with 65,536 rows too")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.child:
        child(asked.child, asked.size, asked.scale)
        return 0
    found = measure(asked)
    lines, met = report(found)
    print(json.dumps({**found, "met": met}) if asked.json else "\n".join(lines))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
