"""Shared by tests: nothing is downloaded, small picture-and-caption tables, the command line in this process."""

from __future__ import annotations

import csv
import os
import wave
from pathlib import Path

import numpy as np
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent


def write_wav(path: Path, samples: np.ndarray, rate: int) -> None:
    """16-bit mono."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, len(samples), "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())


@pytest.fixture
def picture_table():
    """make(folder) writes `table.csv`, `photos/`, `sounds/`, `points/` and `clips/`: a colour, a pitch and a box per
    caption; clips are folders of frames, two rows of three have no effect."""

    def make(folder: Path, *, train: int = 24, test: int = 12) -> Path:
        from PIL import Image

        for kind in ("photos", "sounds", "points"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        colours = {"red": (200, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 200)}
        for name, colour in colours.items():
            (folder / "clips" / name).mkdir(parents=True, exist_ok=True)
            for t in range(3):
                bar = np.zeros((24, 24, 3), np.uint8)
                bar[:, 8 * t : 8 * t + 8] = colour
                Image.fromarray(bar).save(folder / "clips" / name / f"{t}.png")
        rng = np.random.default_rng(0)
        table = folder / "table.csv"
        with table.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "audio", "points", "video", "text", "split", "speech_fr", "effect", "text_fr"])
            for i in range(train + test):
                name = list(colours)[i % 3]
                pixels = np.clip(np.array(colours[name]) + rng.normal(0, 20, (24, 24, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / "photos" / f"{i}.jpg")
                tone = 8000 * np.sin(2 * np.pi * (300 + 200 * (i % 3)) * np.arange(4000) / 8000)
                write_wav(folder / "sounds" / f"{i}.wav", tone, 8000)
                box = rng.random((50, 3)) * (1, 1, 1 + i % 3)
                colour = np.tile(np.array(colours[name]) / 255, (50, 1))
                np.save(folder / "points" / f"{i}.npy", np.concatenate([box, colour], axis=1).astype(np.float32))
                text, split = f"a {name} square, number {i}", "train" if i < train else "test"
                files = [f"photos/{i}.jpg", f"sounds/{i}.wav", f"points/{i}.npy", f"clips/{name}"]
                writer.writerow([*files, text, split, files[1], "" if i % 3 else files[1], name])
        return table

    return make


@pytest.fixture
def anyclip_command(capfd):
    """run(*args) runs `anyclip ARGS` in this process and returns what it printed; fails on a non-zero exit code."""

    def run(*args: str) -> str:
        from anyclip.cli import main

        code = main.run(list(args))
        out, err = capfd.readouterr()
        assert code == 0, f"anyclip {' '.join(args)} ended with {code}\n{out}\n{err}"
        return out + err

    return run
