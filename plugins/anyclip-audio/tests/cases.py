"""Tiny configurations of every audio tower; the contract tests run over all of them."""

from __future__ import annotations

from anyclip_audio.plugin import _TINY

# name -> (tower, options)
CASES: dict[str, tuple[str, dict]] = {
    "htsat": ("audio/htsat", _TINY["htsat"]),
    "htsat-projected": ("audio/htsat", {**_TINY["htsat"], "output": "projected"}),
    "htsat-fusion": ("audio/htsat", {**_TINY["htsat"], "fusion": True, "seconds": 1.0}),
    "htsat-iaff": ("audio/htsat", {**_TINY["htsat"], "fusion": "iaff", "seconds": 1.0}),
    "htsat-daf": ("audio/htsat", {**_TINY["htsat"], "fusion": "daf", "seconds": 1.0}),
    "htsat-in-model": ("audio/htsat", {**_TINY["htsat"], "features": "model"}),
    "htsat-tile": ("audio/htsat", {**_TINY["htsat"], "long": "tile", "seconds": 0.5}),
    "pann": ("audio/pann", _TINY["pann"]),
    "pann-cnn6": ("audio/pann", {**_TINY["pann"], "size": "cnn6", "features": "model"}),
    "pann-cnn14": ("audio/pann", {**_TINY["pann"], "size": "cnn14", "channels": [4, 4, 8, 8, 12, 16], "dropout": 0.0}),
    "wav2clip": ("audio/wav2clip", _TINY["wav2clip"]),
    "wav2clip-projected": ("audio/wav2clip", {**_TINY["wav2clip"], "output": "projected"}),
    "esresnext": ("audio/esresnext", _TINY["esresnext"]),
    "esresnext-plain": (
        "audio/esresnext",
        {**_TINY["esresnext"], "attention": False, "output": "projected", "dim": 24},
    ),
}
