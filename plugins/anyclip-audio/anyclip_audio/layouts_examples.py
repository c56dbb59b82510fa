"""Small imitations of the published folders, as `ReaderSpec.example` wants them; tests use them too."""

from __future__ import annotations

import csv
import os
import wave
from pathlib import Path
from typing import Any

import numpy as np

RATE = 8000


def sound(path: Path, hz: float, seconds: float = 0.4) -> None:
    """A sine as a 16-bit wav file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 12_000 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)
    with wave.open(os.fspath(path), "wb") as file:
        file.setparams((1, 2, RATE, len(samples), "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())


def table(path: Path, header: str, rows: list[list[Any]]) -> None:
    """A csv file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])


def esc50(folder: Path) -> dict[str, Any]:
    """Two classes, five folds."""
    rows = []
    for fold in range(1, 6):
        for target, name in enumerate(("dog", "chirping_birds")):
            file = f"{fold}-{1000 + fold}-A-{target}.wav"
            sound(folder / "ESC-50-master" / "audio" / file, 300 + 900 * target + 10 * fold)
            rows.append([file, fold, target, name, target == 0, 1000 + fold, "A"])
    table(folder / "ESC-50-master/meta/esc50.csv", "filename,fold,target,category,esc10,src_file,take", rows)
    return {"path": str(folder / "ESC-50-master")}


def urbansound8k(folder: Path) -> dict[str, Any]:
    """Two classes, ten folds."""
    rows = []
    for fold in range(1, 11):
        for target, name in ((1, "car_horn"), (3, "dog_bark")):
            file = f"{100 + fold}-{target}-0-0.wav"
            sound(folder / "UrbanSound8K" / "audio" / f"fold{fold}" / file, 300 * target + 10 * fold)
            rows.append([file, 100 + fold, 0.0, 0.4, 1, fold, target, name])
    header = "slice_file_name,fsID,start,end,salience,fold,classID,class"
    table(folder / "UrbanSound8K" / "metadata" / "UrbanSound8K.csv", header, rows)
    return {"path": str(folder / "UrbanSound8K")}


def audiocaps(folder: Path) -> dict[str, Any]:
    """A table with a caption a sound, one with two; files named as several downloaders name them."""
    names = ["{}", "Y{}", "{}_30", "{}_30000_40000", "Y{}_30.000_40.000"]
    videos = [f"-{i}aB_cD{i}fGh" for i in range(6)]  # the last one is gone
    header = "audiocap_id,youtube_id,start_time,caption"
    for i, name in enumerate(names):
        sound(folder / "audiocaps" / "train" / f"{name.format(videos[i])}.wav", 200 * (i + 1))
        sound(folder / "audiocaps" / "test" / f"{i + 1}.wav", 200 * (i + 1))
    train = [[900 + i, video, 30, f"a tone, number {i}"] for i, video in enumerate(videos)]
    test = [[10 * k + i + 1, videos[i], 30, f"a tone, number {i}, said {k}"] for i in range(5) for k in range(2)]
    table(folder / "audiocaps" / "train.csv", header, train)
    table(folder / "audiocaps" / "test.csv", header, test)
    return {"path": str(folder / "audiocaps"), "split": "train"}


def clotho(folder: Path) -> dict[str, Any]:
    """Two splits of three sounds."""
    header = "file_name," + ",".join(f"caption_{i}" for i in range(1, 6))
    for split in ("development", "evaluation"):
        rows = []
        for i, name in enumerate(("Rain on glass.wav", "steps (2), hall.wav", "caf\u00e9.wav")):
            sound(folder / "clotho" / split / name, 250 * (i + 1))
            rows.append([f" {name}" if i == 0 else name, *(f"a tone of {split}, {i}, said {k}" for k in range(5))])
        table(folder / "clotho" / f"clotho_captions_{split}.csv", header, rows)
    return {"path": str(folder / "clotho")}
