"""Write a small data set of real files, so that the example pages can be run before your own data is there.

`python examples/make_files.py OUT image audio text` renders synthetic scenes into OUT: png, wav, mp4 (with sound) and
ply files in a folder per modality, and OUT/table.csv with a row per scene: a column per modality, `class` and `split`.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np

from anyclip.readers import create_reader

FACTORS = ["shape", "colour", "size", "background", "motion", "timbre", "pitch", "loudness", "rhythm"]
SOUND = ["timbre", "pitch", "loudness", "rhythm"]


def write_image(value: np.ndarray, path: Path) -> Path:
    from PIL import Image

    Image.fromarray(value).save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def write_audio(value: tuple[np.ndarray, int], path: Path) -> Path:
    import soundfile

    soundfile.write(path.with_suffix(".wav"), *value)
    return path.with_suffix(".wav")


def write_video(value: Any, path: Path) -> Path:
    path.with_suffix(".mp4").write_bytes(value.data)
    return path.with_suffix(".mp4")


def write_pointcloud(value: dict[str, np.ndarray], path: Path) -> Path:
    """Binary PLY with colours."""
    points = value["points"]
    kinds = [(axis, "<f4") for axis in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")]
    rows = np.empty(len(points), dtype=kinds)
    for i, axis in enumerate("xyz"):
        rows[axis] = points[:, i]
    for i, colour in enumerate(("red", "green", "blue")):
        rows[colour] = np.round(255 * value["colors"][:, i])
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    lines += [f"property {'float' if kind == '<f4' else 'uchar'} {name}" for name, kind in kinds]
    header = "\n".join([*lines, "end_header", ""])
    path.with_suffix(".ply").write_bytes(header.encode() + rows.tobytes())
    return path.with_suffix(".ply")


WRITERS = {"image": write_image, "audio": write_audio, "video": write_video, "pointcloud": write_pointcloud}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("modalities", nargs="+", choices=["text", *WRITERS])
    parser.add_argument("--rows", type=int, default=96, help="rows for training; a quarter as many for the test split")
    parser.add_argument("--heard", action="store_true", help="captions speak of the sound only")
    chosen = parser.parse_args()
    for name in chosen.modalities:
        (chosen.out / name).mkdir(parents=True, exist_ok=True)
    options = {"text": {"factors": SOUND} if chosen.heard else {}, "video": {"file": True, "sound": True}}
    streams = {name: {"options": options.get(name, {})} for name in chosen.modalities}
    with (chosen.out / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*chosen.modalities, "class", "split"])
        for split, count in (("train", chosen.rows), ("val", chosen.rows // 4)):
            given = {"size": count, "factors": FACTORS, "split": split, "streams": streams}
            reader = create_reader("synthetic", given)
            for row in range(count):
                cells = []
                for name in chosen.modalities:
                    value = reader.value(row, name, modality=name)
                    path = chosen.out / name / f"{split}-{row:04d}"
                    cells.append(value if name == "text" else WRITERS[name](value, path).relative_to(chosen.out))
                label = reader.value(row, "timbre" if chosen.heard else "shape")
                table.writerow([*cells, label, "train" if split == "train" else "test"])
    print(f"{chosen.out / 'table.csv'}: {chosen.rows} rows for training, {chosen.rows // 4} for the test")


if __name__ == "__main__":
    main()
