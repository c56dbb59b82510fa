"""CPU time of 8 and 12 frames from clips of 10 s and of 5 minutes: our processor against decoders used directly.

    python benchmarks/video.py [--repeats 9] [--long 300] [--json]

Everybody makes the same: normalised float32 [T, 3, 224, 224] of evenly spread frames, checked to be the same frames.
Used directly, a decoder gets the frames, and torchvision resizes, crops and normalises them together. The clips are
made here (320 x 240, H.264, 25 frames a second, a key frame every 250). One thread each; CPU seconds (user + system) of
interleaved repeats, the best of each. Exits with 1 when a ratio is above its goal.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from anyclip_image.transform import CLIP_MEAN, CLIP_STD, Preprocess
from anyclip_video.options import VideoOptions
from anyclip_video.processor import VideoProcessor
from anyclip_video.sources import available
from anyclip_video.writing import write_video
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

RATE, HEIGHT, WIDTH = 25, 240, 320
GOALS = {"decord_long": 0.6, "fastest": 1.1}


def moving_picture(seconds: int) -> Iterator[np.ndarray]:
    """Smooth waves that drift, a moving square and some noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    noise = rng.integers(0, 10, (8, HEIGHT, WIDTH, 3), dtype=np.uint8)
    for i in range(seconds * RATE):
        t = i / RATE
        waves = [np.sin(x / (30 + 9 * c) + t * (c + 1)) * np.cos(y / (25 + 5 * c) - t) for c in range(3)]
        frame = (100 + 90 * np.stack(waves, axis=2)).astype(np.uint8)
        top, left = int(90 + 80 * np.sin(t)), int(130 + 120 * np.cos(t / 3))
        frame[top : top + 50, left : left + 50] = (i * 3 % 256, 255 - i * 7 % 256, 128)
        yield frame + noise[i % 8]


def wanted(count: int, frames: int) -> list[int]:
    return np.linspace(0, count - 1, frames).astype(int).tolist()


def prepared(frames: Tensor) -> Tensor:
    """uint8 [T, 3, H, W] -> what the model takes."""
    small = tv.resize(frames, [224], interpolation=tv.InterpolationMode.BICUBIC, antialias=True)
    return tv.normalize(tv.center_crop(small, [224]).float().div_(255), CLIP_MEAN, CLIP_STD)


def with_decord(path: str, frames: int) -> Tensor:
    import decord

    reader = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
    pixels = reader.get_batch(wanted(len(reader), frames)).asnumpy()
    return prepared(torch.from_numpy(pixels).permute(0, 3, 1, 2))


def with_torchcodec(path: str, frames: int, mode: str = "exact") -> Tensor:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(path, seek_mode=mode)  # type: ignore[arg-type]
    return prepared(decoder.get_frames_at(wanted(len(decoder), frames)).data)


def with_torchcodec_approximate(path: str, frames: int) -> Tensor:
    return with_torchcodec(path, frames, "approximate")


def with_pyav(path: str, frames: int) -> Tensor:
    """Seek to the key frame before each frame, decode up to it; the stream's header says how many there are."""
    import av

    found = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        for index in wanted(stream.frames, frames):
            stamp = round(index / RATE / stream.time_base)
            container.seek(stamp, stream=stream)
            frame = next(f for f in container.decode(stream) if f.pts >= stamp)
            found.append(torch.from_numpy(frame.to_ndarray(format="rgb24")))
    return prepared(torch.stack(found).permute(0, 3, 1, 2))


DIRECT: dict[str, tuple[str, Callable[[str, int], Tensor]]] = {
    "decord": ("decord", with_decord),
    "torchcodec": ("torchcodec", with_torchcodec),
    "torchcodec approximate": ("torchcodec", with_torchcodec_approximate),
    "pyav": ("pyav", with_pyav),
}


def ours(frames: int) -> Callable[[str], Tensor]:
    processor = VideoProcessor(Preprocess(), VideoOptions(frames=frames, augment="none"))
    return lambda path: processor.collate([processor.load(path)])["frames"][0]


def measure(path: str, frames: int, repeats: int) -> dict[str, float]:
    """Milliseconds of CPU of each."""
    work: dict[str, Callable[[str], Tensor]] = {"anyclip": ours(frames)}
    for name, (backend, function) in DIRECT.items():
        if backend in available():
            work[name] = lambda path, function=function: function(path, frames)
    results = {name: run(path) for name, run in work.items()}  # also warms up
    for name, result in results.items():
        difference = (result - results["anyclip"]).abs().mean()
        if difference > 0.05:
            raise SystemExit(f"{name} gives other frames than the processor (mean difference {difference:.3f})")
    spent: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, run in work.items():
            start = time.process_time()
            run(path)
            spent[name].append(time.process_time() - start)
    return {name: 1000 * min(times) for name, times in spent.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--long", type=int, default=300, help="seconds of the long clip")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="anyclip-video-") as folder:
        for seconds in (10, asked.long):
            path = Path(folder) / f"{seconds}.mp4"
            path.write_bytes(write_video(moving_picture(seconds), float(RATE), quality=23, keyframes=250))
            for frames in (8, 12):
                spent = measure(str(path), frames, asked.repeats * (3 if seconds == 10 else 1))
                fastest = min(value for name, value in spent.items() if name != "anyclip")
                rate = path.stat().st_size * 8 / 1000 / seconds
                row = {"seconds": seconds, "frames": frames, "kbit_per_s": rate, **spent}
                row["of_fastest"] = spent["anyclip"] / fastest
                if "decord" in spent:
                    row["of_decord"] = spent["anyclip"] / spent["decord"]
                rows.append(row)
    missed = [row for row in rows if row["of_fastest"] > GOALS["fastest"]]
    missed += [r for r in rows if r["seconds"] == asked.long and r.get("of_decord", 0) > GOALS["decord_long"]]
    if asked.json:
        print(json.dumps({"rows": rows, "goals": GOALS, "met": not missed}))
    else:
        for row in rows:
            print(f"{row['frames']} frames of {row['seconds']} s")
            for name, value in list(row.items())[2:]:
                print(f"  {name:26} {value:10.3f}" + (" ms" if name in ("anyclip", *DIRECT) else ""))
        print(f"goals {GOALS}: {'MISSED' if missed else 'met'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
