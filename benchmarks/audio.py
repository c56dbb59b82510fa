"""What sounds cost: file to log-mel and the step of a tower, over the libraries' own way, and bf16 over fp32.

* `pipeline`: file -> 48 kHz mono -> log-mel 64 x 1001 as a loader worker does it, over `librosa.load` and transformers'
  ClapFeatureExtractor, per format (10 s, stereo, 44.1 kHz).
* `decode`: file -> mono samples, over the fastest of the decoders used bare (whole file, mean of channels); for ours
  everything counts, also the look whether the file is whole.
* `step`: forward and backward of `audio/htsat` (tiny, 10 s) over transformers' ClapAudioModel bare, on the same input.
* `bf16`: the same step under bf16 autocast over fp32. `fast_bf16` says whether this processor multiplies bf16 in
  hardware; where it does not, the ratio says nothing.

Cases are interleaved (A B A B ...) in one process; CPU seconds of the process, medians.

    python benchmarks/audio.py [--rounds 15] [--steps 5] [--threads 1] [--only pipeline|decode|step]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch

RATE, SECONDS = 44_100, 10.0
FORMATS = ("wav", "flac", "ogg", "mp3")
Case = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="of files")
    parser.add_argument("--steps", type=int, default=5, help="rounds of the tower's step")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("pipeline", "decode", "step"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = write_sounds(Path(folder))
        if options.only in (None, "pipeline"):
            found["pipeline"] = {kind: pipeline(path, options.rounds) for kind, path in files.items()}
        if options.only in (None, "decode"):
            found["decode"] = {kind: decoding(path, options.rounds) for kind, path in files.items()}
    if options.only in (None, "step"):
        found |= step(options.steps)
    print(json.dumps(found))


def write_sounds(folder: Path) -> dict[str, str]:
    """Format -> file: tones with harmonics and noise, different in both channels."""
    import soundfile

    rng = np.random.default_rng(0)
    time_s = np.arange(round(SECONDS * RATE)) / RATE
    tones = sum(0.2 / k * np.sin(2 * np.pi * 220 * k * time_s * (1 + 0.01 * np.sin(time_s))) for k in range(1, 6))
    sound = np.stack([tones, 0.7 * tones], axis=1) + 0.05 * rng.standard_normal((len(time_s), 2))
    files = {kind: str(folder / f"sound.{kind}") for kind in FORMATS if kind.upper() in soundfile.available_formats()}
    for path in files.values():
        soundfile.write(path, np.clip(sound, -1, 1).astype(np.float32), RATE)
    return files


def pipeline(path: str, rounds: int) -> dict[str, float]:
    """Ours over librosa and transformers; both give 1001 x 64, the same numbers."""
    import librosa
    from anyclip_audio.front import Front
    from anyclip_audio.options import HtsatOptions
    from anyclip_audio.processor import AudioProcessor
    from transformers import ClapFeatureExtractor

    processor = AudioProcessor(Front(), HtsatOptions())
    extractor = ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad", frequency_min=50)

    def peer() -> np.ndarray:
        wave, _ = librosa.load(path, sr=48_000)
        return extractor(wave, sampling_rate=48_000, return_tensors="np")["input_features"]

    def ours() -> torch.Tensor:
        return processor.load(path)["x"]

    assert np.median(np.abs(peer()[0, 0] - ours()[0, 0].numpy())) < 0.1  # dB; decoders and resamplers differ a little
    return ratio(measure({"ours": ours, "peer": peer}, rounds), "ours", "peer")


def decoding(path: str, rounds: int) -> dict[str, float | str]:
    """Ours over the fastest decoder bare."""
    import soundfile
    from anyclip_audio.decode import decode
    from anyclip_audio.sources import loads

    def bare_soundfile() -> np.ndarray:
        left, right = soundfile.read(path, dtype="float32")[0].T
        return (left + right) * 0.5

    def bare_torchcodec() -> np.ndarray:
        from torchcodec.decoders import AudioDecoder

        left, right = AudioDecoder(path).get_all_samples().data.numpy()
        return (left + right) * 0.5

    def bare_librosa() -> np.ndarray:
        import librosa

        left, right = librosa.load(path, sr=None, mono=False)[0]
        return (left + right) * 0.5

    bare = {"soundfile": bare_soundfile, "torchcodec": bare_torchcodec, "librosa": bare_librosa}
    cases: dict[str, Case] = {name: case for name, case in bare.items() if loads(name)}
    medians = measure({"ours": lambda: decode(path), **cases}, rounds)
    fastest = min(cases, key=lambda name: medians[name])
    return {"fastest": fastest, **ratio(medians, "ours", fastest)}


def step(rounds: int) -> dict[str, object]:
    """Forward and backward on two sounds of 10 s."""
    import anyclip

    tower = anyclip.create_tower("audio/htsat", size="tiny").train()
    bare: Any = tower.model
    inputs = {"x": torch.randn(2, 1, 1001, 64)}

    def ours(dtype: torch.dtype | None = None) -> None:
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            pooled = tower(inputs).pooled
        pooled.float().square().sum().backward()
        tower.zero_grad(set_to_none=True)

    def peer() -> None:
        bare(input_features=inputs["x"]).pooler_output.square().sum().backward()
        bare.zero_grad(set_to_none=True)

    medians = measure({"ours": ours, "peer": peer, "bf16": lambda: ours(torch.bfloat16)}, rounds)
    return {
        "step": ratio(medians, "ours", "peer"),
        "bf16": ratio(medians, "bf16", "ours"),
        "fast_bf16": fast_bf16(),
    }


def fast_bf16() -> bool:
    """Whether the processor multiplies bf16 in hardware (AVX-512 BF16 or AMX)."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def measure(cases: Mapping[str, Case], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each case, after one call of each that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, case in cases.items():
            began = time.process_time()
            case()
            if number:
                seconds[name].append(time.process_time() - began)
    return {name: statistics.median(found) for name, found in seconds.items()}


def ratio(medians: Mapping[str, float], ours: str, peer: str) -> dict[str, float]:
    return {
        "ratio": round(medians[ours] / medians[peer], 3),
        **{f"{name}_ms": round(1000 * value, 2) for name, value in medians.items()},
    }


if __name__ == "__main__":
    main()
