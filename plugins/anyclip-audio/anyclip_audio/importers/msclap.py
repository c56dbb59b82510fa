"""msclap: checkpoints of MS-CLAP, 2022 (Cnn14 and BERT) and 2023 (HTSAT and GPT-2)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from anyclip_text.importing import tokenizer_asset, tokenizer_beside

from anyclip.checkpoint.importing import Imported, reading_layout
from anyclip.errors import CheckpointError
from anyclip_audio.importers.common import audio_text, bert_config, gpt2_config, htsat_config, pann_options
from anyclip_audio.names import RESIDUAL, State, below, laion_htsat, pann, put, renamed, rest

KNOWN = ("audio_encoder.", "caption_encoder.", "logit_scale")
_SOUND = {"sample_rate": 44_100, "hop": 320, "short": "repeat"}
_YEAR_2022 = {**_SOUND, "seconds": 5.0}
_YEAR_2023 = {**_SOUND, "seconds": 7.0, "mel_rate": 32_000}  # bands for 32 kHz on sounds of 44.1 kHz
_MASKS = (".attn.bias", ".attn.masked_bias", "position_ids")  # tables that older transformers saved
GPT2_END = "<|endoftext|>"


def import_msclap(
    state: State, *, name: str | None = None, source: Path | None = None, tokenizer: str | None = None
) -> Imported:
    """Both years; which one is read off the names.

    The names are those of the package msclap. Left out: the STFT and mel kernels, the AudioSet classifier and BERT's
    pooler, which the program does not use.
    """
    where = str(source or "msclap")
    with reading_layout("MS-CLAP", where=where):
        sounds, texts = below(state, "audio_encoder.base."), below(state, "caption_encoder.base.")
        texts = {key: tensor for key, tensor in texts.items() if not key.endswith(_MASKS)}
        audio, audio_state = _audio(sounds)
        text, texts, assets = _text(texts, tokenizer, source)
        dim = state["audio_encoder.projection.linear1.weight"].shape[0]
        scale = state["logit_scale"]
    found = put(audio_state, "towers.audio.model.") | put(texts, "towers.text.model.")
    for stream, side in (("audio", "audio_encoder"), ("text", "caption_encoder")):
        found |= put(renamed(below(state, f"{side}.projection."), RESIDUAL), f"projections.{stream}.")
        inner = rest(below(state, f"{side}."), ("base.", "projection."))
        found |= put(inner, f"{side}.")  # names that no version has
    found |= rest(state, KNOWN)
    layer = {"name": "residual", "dropout": 0.5}
    audio, text = ({**tower, "projection": layer} for tower in (audio, text))
    return audio_text(dim, audio, text, scale, found, assets=assets)


def _audio(sounds: State) -> tuple[dict[str, Any], State]:
    """The audio tower and its tensors."""
    if "conv_block1.conv1.weight" in sounds:
        return {"name": "audio/pann", "options": {**pann_options(sounds), **_YEAR_2022}}, pann(sounds)
    sounds = renamed(sounds, {"htsat.": ""})
    options = {"model": htsat_config(sounds), **_YEAR_2023}
    return {"name": "audio/htsat", "options": options}, put(laion_htsat(sounds), "audio_encoder.")


def _text(
    texts: State, tokenizer: str | None, source: Path | None
) -> tuple[dict[str, Any], State, dict[str, Callable[[Path], None]]]:
    """The text tower, its tensors, its tokenizer: BERT's first token, or GPT-2's last one after an end-of-text."""
    if "wte.weight" in texts:
        options = {"model": gpt2_config(texts), "pool": "last", "context_length": 77}
        place = tokenizer or tokenizer_beside(source)
        write = tokenizer_asset(place) if place == "bytes" else _ending_gpt2(place or "gpt2")
    else:
        options = {"model": bert_config(texts), "pool": "cls", "context_length": 100}
        texts = rest(texts, ("pooler.",))
        write = tokenizer_asset(tokenizer or tokenizer_beside(source) or "bert-base-uncased")
    return {"name": "text/transformers", "options": options}, texts, {"text": write}


def _ending_gpt2(place: str) -> Callable[[Path], None]:
    """Writes GPT-2's tokenizer so that every text ends as MS-CLAP 2023 ends it: a space and the end-of-text token."""

    def write(folder: Path) -> None:
        import json
        import tempfile

        from anyclip_text.tokenizers import create_tokenizer
        from tokenizers.processors import TemplateProcessing
        from transformers import AutoTokenizer

        create_tokenizer(place)  # a place that does not exist is an error that says so
        found: Any = AutoTokenizer.from_pretrained(place)
        backend: Any = getattr(found, "backend_tokenizer", None)
        space, end = (backend.token_to_id(token) if backend else None for token in ("Ġ", GPT2_END))
        if space is None or end is None:
            raise CheckpointError(
                f"{place!r} is no tokenizer of GPT-2: it lacks its space or {GPT2_END}.", where="option tokenizer"
            )
        backend.post_processor = TemplateProcessing(
            single=f"$A Ġ {GPT2_END}", special_tokens=[("Ġ", space), (GPT2_END, end)]
        )
        found.pad_token = "!"
        with tempfile.TemporaryDirectory() as changed:
            found.save_pretrained(changed)
            settings = Path(changed) / "tokenizer_config.json"
            values = json.loads(settings.read_text())
            settings.write_text(json.dumps({**values, "model_max_length": 77}))
            create_tokenizer(changed).save(folder / "tokenizer")

    return write
