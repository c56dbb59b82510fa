"""CPU time per core of point clouds: reading against open3d, farthest point sampling against the common torch loop.

    python benchmarks/pointcloud.py [--points 100000] [--repeats 7] [--large 10000000] [--json]

Reading: binary .ply and .pcd of xyz and colours, ours (plugins/anyclip-pointcloud, without open3d) and open3d's.
Sampling: 10,000 -> 1,024 points; the torch loop as public repositories write it, ours, and open3d's legacy call. One
thread, CPU seconds (user + system) of interleaved repeats, medians. `--large`: time and memory of a file of that many
points through the processor, in a fresh process; 0 leaves it out. Exits with 1 when a ratio is above its goal.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import numpy as np
import torch
from anyclip_pointcloud.decode import decode
from anyclip_pointcloud.ops import farthest_point_sample
from anyclip_pointcloud.options import PointOptions
from anyclip_pointcloud.processor import PointProcessor

READ_GOAL, SAMPLE_GOAL = 1 / 8, 0.35
_FIELDS = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]


def records(count: int, colors: list[tuple[str, str]]) -> np.ndarray:
    """Random points; colour fields of the format asked for."""
    rng = np.random.default_rng(0)
    found = np.zeros(count, _FIELDS + colors)
    for axis in "xyz":
        found[axis] = rng.standard_normal(count)
    for field, kind in colors:
        found[field] = rng.integers(0, 255, count).astype(kind)
    return found


def write_ply(path: Path, count: int) -> None:
    data = records(count, [("red", "u1"), ("green", "u1"), ("blue", "u1")])
    kinds = {"<f4": "float", "|u1": "uchar"}
    properties = "".join(f"property {kinds[data.dtype[n].str]} {n}\n" for n in data.dtype.names)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n{properties}end_header\n"
    path.write_bytes(header.encode())
    with path.open("ab") as file:
        data.tofile(file)


def write_pcd(path: Path, count: int) -> None:
    data = records(count, [("rgb", "<u4")])
    header = (
        "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\n"
        f"WIDTH {count}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {count}\nDATA binary\n"
    )
    path.write_bytes(header.encode())
    with path.open("ab") as file:
        data.tofile(file)


def common_loop(points: torch.Tensor, k: int) -> torch.Tensor:
    """Farthest point sampling as most public repositories have it: batched torch, a boolean mask per step."""
    batch, count, _ = points.shape
    chosen = torch.zeros(batch, k, dtype=torch.long)
    distance = torch.full((batch, count), 1e10)
    farthest, rows = torch.zeros(batch, dtype=torch.long), torch.arange(batch)
    for i in range(k):
        chosen[:, i] = farthest
        latest = ((points - points[rows, farthest][:, None]) ** 2).sum(-1)
        nearer = latest < distance
        distance[nearer] = latest[nearer]
        farthest = distance.max(-1).indices
    return chosen


def medians(work: dict[str, Callable[[], object]], repeats: int, least: float = 0.05) -> dict[str, float]:
    """Name -> CPU milliseconds of one call, the cases interleaved; short cases are called until `least` seconds pass,
    as a loader reads one file after the other."""
    spent: dict[str, list[float]] = {name: [] for name in work}
    calls = dict.fromkeys(work, 1)
    for _ in range(repeats + 1):
        for name, run in work.items():
            start = time.process_time()
            for _ in range(calls[name]):
                run()
            took = (time.process_time() - start) / calls[name]
            spent[name].append(took)
            calls[name] = max(1, round(least / max(took, 1e-6)))
    return {name: 1e3 * statistics.median(times[1:]) for name, times in spent.items()}  # the first warms up


def measure(folder: Path, count: int, repeats: int) -> tuple[dict[str, float], list[str]]:
    """(figures, goals that are missed). Milliseconds, and ratios to what we compare with."""
    try:
        import open3d
    except (ImportError, OSError) as error:
        open3d = None
        print(f"open3d does not load, no reading is compared: {error}", file=sys.stderr)
    figures: dict[str, float] = {}
    missed = []
    for suffix, write in (("ply", write_ply), ("pcd", write_pcd)):
        path = folder / f"points.{suffix}"
        write(path, count)
        work: dict[str, Callable[[], object]] = {"ours": lambda p=str(path): decode(p)}
        if open3d is not None:
            work["open3d"] = lambda p=str(path): open3d.io.read_point_cloud(p)
        found = medians(work, repeats)
        figures |= {f"{suffix}: {name}, ms": value for name, value in found.items()}
        if "open3d" in found:
            figures[f"{suffix}: ours / open3d"] = ratio = found["ours"] / found["open3d"]
            missed += [f"reading {suffix}: {ratio:.3f} > {READ_GOAL}"] if ratio > READ_GOAL else []
    points = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 10_000, 3)).astype(np.float32))
    if not torch.equal(common_loop(points, 1024), farthest_point_sample(points, 1024)):
        raise SystemExit("farthest point sampling chooses other points than the common loop")
    work = {"common loop": lambda: common_loop(points, 1024), "ours": lambda: farthest_point_sample(points, 1024)}
    if open3d is not None:
        cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points[0].double().numpy()))
        work["open3d"] = lambda: cloud.farthest_point_down_sample(1024)
    found = medians(work, repeats)
    figures |= {f"sampling: {name}, ms": value for name, value in found.items()}
    figures |= {f"sampling: {n} / common loop": found[n] / found["common loop"] for n in found if n != "common loop"}
    ratio = found["ours"] / found["common loop"]
    return figures, missed + ([f"sampling: {ratio:.3f} > {SAMPLE_GOAL}"] if ratio > SAMPLE_GOAL else [])


def measure_large(path: Path) -> dict[str, float]:
    """Seconds and peak memory above that of the imports, of one file through the processor; for a fresh process."""
    processor = PointProcessor(PointOptions(points=1024, colors=True))
    processor.load(np.random.default_rng(0).standard_normal((2000, 3)))
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports
    before, start = memory("VmRSS"), time.process_time()
    processor.load(str(path))
    return {"s": time.process_time() - start, "MB": memory("VmHWM") - before}


def memory(line: str) -> float:
    """MB of a line of the process's status: VmRSS now, VmHWM the peak."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{line}:")[1].split()[0]) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--large", type=int, default=10_000_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure-large", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.measure_large:
        print(json.dumps(measure_large(args.measure_large)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        figures, missed = measure(Path(folder), args.points, args.repeats)
        for suffix, write in (("ply", write_ply), ("pcd", write_pcd)) if args.large else ():
            path = Path(folder) / f"large.{suffix}"
            write(path, args.large)
            command = [sys.executable, __file__, "--measure-large", str(path)]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            figures |= {f"{args.large:,} points in {suffix}, {unit}": value for unit, value in found.items()}
            path.unlink()
    if args.json:
        print(json.dumps({"figures": figures, "missed": missed}))
    else:
        for name, value in figures.items():
            print(f"{name:44} {value:10.3f}")
        for text in missed:
            print(f"above the goal: {text}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
