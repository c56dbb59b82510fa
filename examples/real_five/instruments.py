"""The 128 General MIDI instruments, one note of a second each, rendered by fluidsynth from a sampled sound font."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from packages import unpack
from tables import write_manifest

PITCHES = {45: "train", 52: "train", 60: "train", 67: "train", 55: "test"}
RATE, SECONDS, REST, VELOCITY = 16_000, 1.5, 1.5, 100


def prepare(out: Path, cache: Path) -> None:
    """OUT/audio/*.ogg and manifest.jsonl. Needs the program fluidsynth."""
    if shutil.which("fluidsynth") is None:
        sys.exit("instruments: needs fluidsynth\n  next: apt-get install fluidsynth")
    (out / "audio").mkdir(parents=True, exist_ok=True)
    font = next(unpack("fluid-soundfont-gm", cache).rglob("*.sf2"))
    write_manifest(out, _rows(out, font))


def _rows(out: Path, font: Path) -> Iterator[dict[str, Any]]:
    for program, name in sorted(preset_names(font).items()):
        for (pitch, split), samples in zip(PITCHES.items(), _render(font, program)):
            file = f"audio/gm{program:03d}-{pitch}.ogg"
            soundfile.write(out / file, samples, RATE, format="OGG", subtype="VORBIS")
            yield {
                "id": f"gm{program:03d}-{pitch}",
                "split": split,
                "group": name,
                "audio": file,
                "text": name.lower(),
                "pitch": pitch,
                "program": program,
            }


def preset_names(font: Path) -> dict[int, str]:
    """Program -> name of the presets of bank 0, from the header list of a SoundFont 2 file (chunk `phdr`)."""
    data = font.read_bytes()
    start = data.index(b"phdr") + 4
    (size,) = struct.unpack_from("<I", data, start)
    found = {}
    for offset in range(start + 4, start + 4 + size - 38, 38):  # the last record only ends the list
        name, program, bank = struct.unpack_from("<20sHH", data, offset)
        if bank == 0:
            found[program] = name.split(b"\0")[0].decode("latin-1").strip()
    return found


def _render(font: Path, program: int) -> list[np.ndarray]:
    """A note of every pitch, mono float [T]."""
    with tempfile.TemporaryDirectory() as folder:
        song, sound = Path(folder) / "notes.mid", Path(folder) / "notes.wav"
        song.write_bytes(notes(program, list(PITCHES)))
        options = ["-ni", "-g", "0.6", "-R", "0", "-C", "0", "-r", str(RATE), "-F", str(sound)]
        subprocess.run(["fluidsynth", *options, str(font), str(song)], check=True, capture_output=True)
        samples = soundfile.read(sound)[0].mean(axis=1)
    step = round((SECONDS + REST) * RATE)
    return [samples[i * step : i * step + round(SECONDS * RATE)] for i in range(len(PITCHES))]


def notes(program: int, pitches: list[int]) -> bytes:
    """A MIDI file: a note of a second for each pitch, each with room to fade (960 ticks are a second)."""
    events = bytes([0, 0xC0, program])
    wait = 0
    for pitch in pitches:
        events += _ticks(wait) + bytes([0x90, pitch, VELOCITY]) + _ticks(960) + bytes([0x80, pitch, 0])
        wait = round(960 * (SECONDS + REST - 1))
    events += _ticks(wait) + bytes([0xFF, 0x2F, 0])
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480) + b"MTrk" + struct.pack(">I", len(events)) + events


def _ticks(count: int) -> bytes:
    """MIDI's numbers of variable length: seven bits a byte, the first bit says that more follow."""
    found = [count & 0x7F]
    while count := count >> 7:
        found.insert(0, 0x80 | count & 0x7F)
    return bytes(found)
