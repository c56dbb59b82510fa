"""wav2clip: the audio encoder of Wav2CLIP, alone or with the CLIP whose space it was distilled into."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anyclip.checkpoint.importing import Imported, reading_layout
from anyclip.checkpoint.reading import read_state
from anyclip.errors import UserError
from anyclip_audio.importers.common import count
from anyclip_audio.names import State, put, wav2clip


def import_wav2clip(
    state: State, *, name: str | None = None, source: Path | None = None, clip: str | None = None
) -> Imported:
    """ResNet-18 and its two-layer projection, from names of the training program or of the package.

    Left out: the spectrogram's window, which the processor has, and `image_transform`, which only the training loss
    used. clip: a file of OpenAI's CLIP; then the model has image and text towers too.
    """
    where = str(source or "wav2clip")
    sounds = wav2clip(state)
    with reading_layout("Wav2CLIP", where=where):
        dim = sounds["transform.sequential.3.weight"].shape[0]
        options = {"output": "projected", "layers": [count(sounds, f"encoder.layer{i}.", 2) for i in range(1, 5)]}
    audio = {"name": "audio/wav2clip", "options": options, "projection": "identity"}
    found = put(sounds, "towers.audio.model.")
    if clip is None:
        return Imported(config={"model": {"dim": dim, "towers": {"audio": audio}}}, state=found)
    return _with_clip(dim, audio, found, Path(clip))


def _with_clip(dim: int, audio: dict[str, Any], found: State, clip: Path) -> Imported:
    """The audio tower beside CLIP's; pairs with it as in the paper's training, with CLIP's own scale."""
    try:
        from anyclip_image.importers.openai_clip import import_openai_clip
    except ImportError as error:
        raise UserError("needs anyclip-image.", where="option clip", next="pip install anyclip-image") from error
    pair = import_openai_clip(read_state(clip), source=clip)
    width = pair.config["model"]["dim"]
    if width != dim:
        raise UserError(f"this CLIP has {width} dimensions, Wav2CLIP {dim}.", where="option clip", hint="Use ViT-B/32.")
    config = {**pair.config, "model": {"dim": dim, "towers": {"audio": audio, **pair.config["model"]["towers"]}}}
    image_text = pair.config["objectives"][0]
    config["objectives"] = [image_text, {**image_text, "pair": ["audio", "image"]}]
    return Imported(config=config, state={**found, **pair.state}, assets=pair.assets)
