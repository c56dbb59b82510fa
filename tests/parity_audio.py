"""Audio towers, their text sides and their preprocessing against the audio reference files.

Every system goes the way of a user: its checkpoint is written as the original saves it, imported, opened from the
written folder, and given the recorded inputs.
"""

from __future__ import annotations

import importlib
import importlib.util
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from parity_report import Line

# beginning of a file's name -> module with `run(path, data)`; the first that fits
MODULES = {
    "laion_clap": "parity_audio_laion",
    "hf_clap": "parity_audio_clap",
    "open_clip_whisper": "parity_audio_speech",
    "open_clip_htsat": "parity_audio_clap",
    "msclap": "parity_audio_msclap",
    "audioclip": "parity_audio_audioclip",
    "wav2clip": "parity_audio_wav2clip",
    "speechclip": "parity_audio_speech",
}


def run(path: Path, data: dict[str, Any]) -> Iterator[Line]:
    """The lines of one file; an error of any kind is a line that failed."""
    module = next((name for start, name in MODULES.items() if path.stem.startswith(start)), None)
    if module is None:
        yield Line(path.stem, "", (), "FAIL", "not implemented, and not left out with a reason")
        return
    if importlib.util.find_spec(module) is None:
        yield Line(path.stem, "", (), "FAIL", f"not implemented: tests/{module}.py")
        return
    try:
        yield from importlib.import_module(module).run(path, data)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        yield Line(path.stem, "float32", (), "FAIL", reason)
