"""Small imitations of the published folders, as `ReaderSpec.example` wants them; tests use them too."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from anyclip_video.writing import write_video


def video(path: Path, number: int, seconds: float = 2.0) -> None:
    """A clip of one colour that grows brighter, 4 frames a second; mp4 whatever the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = round(4 * seconds)
    frames = np.zeros((count, 32, 32, 3), np.uint8)
    frames[..., number % 3] = np.linspace(40, 250, count, dtype=np.uint8)[:, None, None]
    path.write_bytes(write_video(frames, 4.0))


def write(path: Path, content: Any) -> None:
    """Text as it is, anything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def msrvtt(folder: Path) -> dict[str, Any]:
    """Five videos: three to train, one to choose, one to test."""
    root = folder / "MSRVTT"
    splits = ("train", "train", "train", "validate", "test")
    videos = [{"video_id": f"video{i}", "split": split, "category": i, "id": i} for i, split in enumerate(splits)]
    sentences = [
        {"video_id": f"video{i}", "caption": f"clip {i}, said {k}", "sen_id": 3 * i + k}
        for i in range(5)
        for k in range(3)
    ]
    write(root / "MSRVTT_data.json", {"videos": videos, "sentences": sentences})
    write(root / "MSRVTT_train.9k.csv", "video_id\nvideo0\nvideo1\nvideo2\nvideo3\n")
    write(root / "MSRVTT_train.7k.csv", "video_id\nvideo0\nvideo3\n")
    write(root / "MSRVTT_JSFUSION_test.csv", 'key,vid_key,video_id,sentence\nret0,msr4,video4,"a clip, tested"\n')
    for i in range(5):
        video(root / "videos" / "all" / f"video{i}.mp4", i)
    return {"path": str(root)}


def msvd(folder: Path, pickled: bool = False) -> dict[str, Any]:
    """Four videos: two to train, one to choose, one to test."""
    root = folder / "MSVD"
    names = ["mv89psg6zh4_33_46", "-4wsuPCjDBc_5_15", "04Gt01vatkk_248_265", "1dfR9wmYlTs_8_17"]
    for split, part in (("train", names[::3]), ("val", names[1:2]), ("test", names[2:3])):
        write(root / f"{split}_list.txt", "\n".join(part) + "\n")
    for i, name in enumerate(names):
        video(root / "YouTubeClips" / f"{name}.avi", i)
    captions = {name: [["a", "bird", "bathes", str(i)], ["a", "faucet"]] for i, name in enumerate(names)}
    if pickled:
        (root / "raw-captions.pkl").write_bytes(pickle.dumps(captions))
    else:
        lines = [f"{name} {' '.join(words)}" for name, found in captions.items() for words in found]
        write(root / "AllVideoDescriptions.txt", "# name caption\n\n" + "\n".join(lines) + "\n")
    return {"path": str(root)}


def didemo(folder: Path) -> dict[str, Any]:
    """Two videos; the first has two moments, and a file with another suffix than published."""
    root = folder / "DiDeMo"
    names = ["12090392@N02_13482799053_87ef417396.mov", "54322086@N00_2408598493_274c77d26a.avi"]
    moments = [
        (0, "the dog runs", [[0, 0], [1, 1], [0, 0]]),
        (0, "the dog turns round", [[1, 1], [1, 1]]),
        (1, "a cat sleeps", [[0, 1], [0, 1]]),
    ]
    items = [
        {"annotation_id": 10 + k, "video": names[i], "description": text, "times": times}
        for k, (i, text, times) in enumerate(moments)
    ]
    for split in ("train", "val", "test"):
        write(root / f"{split}_data.json", items)
    video(root / "videos" / f"{Path(names[0]).stem}.mp4", 0, seconds=10)
    video(root / "videos" / names[1], 1, seconds=10)
    return {"path": str(root)}


def activitynet(folder: Path) -> dict[str, Any]:
    """Two videos, two and one sentences."""
    root = folder / "ActivityNet"
    one = {
        "duration": 4.0,
        "timestamps": [[0, 1.5], [1.0, 3.9]],
        "sentences": [" A woman walks in.", " She sits down. "],
    }
    two = {"duration": 2.0, "timestamps": [[0.2, 1.9]], "sentences": ["A man rows."]}
    for split in ("train", "val_1", "val_2"):
        write(root / f"{split}.json", {"v_uqiMw7tQ1Cc": one, "v_bXdq2zI1Ms0": two})
    video(root / "videos" / "v_uqiMw7tQ1Cc.mp4", 0, seconds=4)
    video(root / "videos" / "bXdq2zI1Ms0.mkv", 1)
    return {"path": str(root)}


def lsmdc(folder: Path) -> dict[str, Any]:
    """Two films, three clips."""
    root = folder / "LSMDC"
    clips = [
        "0001_American_Beauty_00.00.51.926-00.00.54.129",
        "0001_American_Beauty_00.01.01.000-00.01.03.500",
        "1010_TITANIC_00.41.32.072-00.41.40.196",
    ]
    rows = [
        f"{clip}\t00.00.51.926\t00.00.54.129\t00.00.50.000\t00.00.55.000\tSOMEONE looks, {i}."
        for i, clip in enumerate(clips)
    ]
    for table in ("annos_training", "annos_val", "challenge_1000_publictect"):
        write(root / f"LSMDC16_{table}.csv", "\n".join(rows) + "\n")
    for i, clip in enumerate(clips):
        video(root / "videos" / clip.rpartition("_")[0] / f"{clip}.avi", i)
    return {"path": str(root)}


def overlapping_clips(folder: Path) -> dict[str, Any]:
    """Two videos of ten seconds with three timed captions each."""
    rows = []
    for i in range(2):
        video(folder / f"{i}.mp4", i, seconds=10)
        texts = [f"in part {k} of film {i} we see a colour that grows brighter and brighter" for k in range(3)]
        rows.append({"video": f"{i}.mp4", "start": [0, 3.5, 6], "end": [3, 6, 9.5], "text": texts, "duration": 10})
    write(folder / "films.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return {"path": str(folder / "films.jsonl"), "clips": 8}
