"""audioclip: checkpoints of AudioCLIP: CLIP's image and text towers and ESResNeXt-FBSP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anyclip_image.importers.open_clip import import_state
from anyclip_image.importers.openai_clip import NO_WEIGHTS, architecture

from anyclip.checkpoint.importing import Imported, reading_layout, scale_of
from anyclip_audio.importers.common import count
from anyclip_audio.names import State, below, put, rest

SCALES = {
    "logit_scale_ai": ["audio", "image"],
    "logit_scale_at": ["audio", "text"],
    "logit_scale": ["image", "text"],
}
LIMITS = (1.0, 100.0)  # of every scale, in each forward pass


def import_audioclip(
    state: State, *, name: str | None = None, source: Path | None = None, tokenizer: str | None = None
) -> Imported:
    """Three towers and three pairs, whose sums of both directions are divided by factorial(number of pairs).

    The names are those of the published model/audioclip.py; the image and text side are OpenAI's.
    """
    where = str(source or "audioclip")
    with reading_layout("AudioCLIP", where=where):
        clip = {key: tensor for key, tensor in state.items() if key.rsplit(".", 1)[-1] not in NO_WEIGHTS}
        clip = rest(clip, ("audio.", *SCALES)) | {"logit_scale": state["logit_scale"]}
        sounds = below(state, "audio.")
        options = _esresnext(sounds)
        pair = import_state(clip, architecture(clip), where=where, tokenizer=tokenizer)
        edges = [_edge(streams, state[name]) for name, streams in SCALES.items()]
    towers = {"audio": {"name": "audio/esresnext", "options": options, "projection": "identity"}}
    towers |= pair.config["model"]["towers"]
    if tokenizer:
        towers["text"]["options"]["tokenizer"] = tokenizer
    config = {
        "model": {"dim": pair.config["model"]["dim"], "towers": towers},
        "objectives": edges,
        "pair_reduction": "factorial",
    }
    # an empty tensor of the published layer, which has no bias
    found = {key: tensor for key, tensor in sounds.items() if key != "fbsp.bias" or tensor.numel()}
    return Imported(config=config, state={**put(found, "towers.audio.model."), **pair.state}, assets=pair.assets)


def _edge(streams: list[str], log_scale: Any) -> dict[str, Any]:
    low, high = LIMITS
    return {
        "pair": streams,
        "loss": {"name": "infonce", "options": {"direction_reduction": "sum"}},
        "scale": {"init": min(max(scale_of(log_scale), low), high), "max": high},
    }


def _esresnext(sounds: State) -> dict[str, Any]:
    """Options of `audio/esresnext` from the tensors' shapes."""
    return {
        "layers": [count(sounds, f"layer{i}.", 1) for i in range(1, 5)],
        "frame": len(sounds["window"]),
        "points": 2 * (len(sounds["fbsp.fc"]) - 1),
        "attention": "att1.conv_point.weight" in sounds,
        "output": "projected",
        "long": "active",
        "dim": sounds["fc.weight"].shape[0],
    }
