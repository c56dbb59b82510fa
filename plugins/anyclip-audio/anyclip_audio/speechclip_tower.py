"""`audio/speechclip`: a speech encoder of transformers under SpeechCLIP's parallel or cascaded head.

Shih et al., SpeechCLIP: Integrating Speech with Pre-Trained Vision and Language Model, SLT 2022.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anyclip.errors import UserError
from anyclip.specs import TowerPart, TowerRef
from anyclip.towers import Encoding, Tower, create_inner_tower
from anyclip.towers.wrapping import mean_of_windows
from anyclip_audio.quantize import nearest_entries, read_vocabulary
from anyclip_audio.speech_options import SpeechclipOptions
from anyclip_audio.speechclip_heads import CascadedHead, ParallelHead
from anyclip_audio.transformers_tower import TransformersAudioTower


class SpeechclipTower(Tower):
    """`pooled` is the parallel head's token, or what the text tower makes of the cascaded head's keywords.

    Cascaded: the text tower gets, as input embeddings, its own special tokens around the entries of its vocabulary
    that are nearest to the keywords (hard choice, straight-through gradient); `extra["keywords"]` int64 [B, K] are
    their ids. Inputs: those of the encoder's processor. Shared towers belong to their own streams.
    """

    modality = "audio"
    encoder: TransformersAudioTower
    allowed: Tensor

    def __init__(
        self, options: SpeechclipOptions, encoder: TransformersAudioTower, text: Tower | None, *, own: Sequence[str]
    ):
        super().__init__()
        self.encoder, self.text, self._own = encoder, text, tuple(own)
        self.processor = encoder.processor
        heads = options.heads or (8 if options.head == "parallel" else 1)
        if encoder.width % heads:
            raise UserError(f"heads: the encoder is {encoder.width} wide, which {heads} heads do not divide.")
        if text is None:
            dim = options.dim if options.output == "projected" else None
            self.head = ParallelHead(encoder.width, heads, options.dropout, dim)
            self.width = dim or encoder.width
            return
        table = _table(text)
        _check_room(text, options.keywords)
        self.head = CascadedHead(encoder.width, options.keywords, heads, options.dropout, table)
        self.width, self.temperature = text.width, options.temperature
        self.register_buffer("allowed", torch.ones(len(table), dtype=torch.bool))

    @classmethod
    def from_options(
        cls,
        options: SpeechclipOptions,
        *,
        refs: Mapping[str, Tower] | None = None,
        assets: Path | None = None,
        load_weights: bool = True,
    ) -> SpeechclipTower:
        more: dict[str, Any] = {"refs": refs, "assets": assets, "load_weights": load_weights}
        encoder = create_inner_tower(_part(options.encoder), at="encoder", **more)
        if isinstance(encoder, SpeechclipTower):
            encoder = encoder.encoder
        if not isinstance(encoder, TransformersAudioTower):
            raise UserError(
                f"encoder: {type(encoder).__name__} gives no frames of speech.",
                hint="Name an audio/transformers or audio/speechclip tower.",
            )
        text = None if options.text is None else create_inner_tower(_part(options.text), at="text", **more)
        named = {"encoder": options.encoder, "text": options.text}
        own = [name for name, option in named.items() if isinstance(option, TowerPart) and option.ref is None]
        tower = cls(options, encoder, text, own=own)
        if text is not None:
            if options.vocabulary and load_weights and assets is None:  # else the weights bring it
                tower.allowed.copy_(read_vocabulary(options.vocabulary, len(tower.allowed)))
            special = _special(text)
            tower.allowed[[*special[0], *special[1], special[2]]] = False
            if not bool(tower.allowed.any()):
                raise UserError("vocabulary: it holds special tokens only.")
        return tower

    def forward(self, inputs: Any, *, mask: Tensor | None = None, layers: Sequence[int] = ()) -> Encoding:
        """inputs: as the processor's `collate` gives them; layers: the encoder's; mask [B, T]: frames to replace, for
        the parallel head (the tokens of the cascaded one are its keywords)."""
        if mask is not None and self.text is not None:
            raise UserError("the cascaded head takes no mask: its tokens are keywords.")
        present = inputs.get("windows")
        if present is None:
            return self._encode(inputs, mask, layers)
        if layers or mask is not None:
            raise UserError("layers and masks of a sound in several windows are not defined.", hint="long: center")
        flat = {name: value[present] for name, value in inputs.items() if name != "windows"}
        return Encoding(pooled=mean_of_windows(self._encode(flat, None, ()).pooled, present))

    def _encode(self, inputs: Any, mask: Tensor | None, layers: Sequence[int]) -> Encoding:
        heard = self.encoder(inputs, mask=mask, layers=layers)
        found = self.head(heard.tokens, heard.mask)
        if self.text is None:
            same = found.shape[-1] == heard.tokens.shape[-1]
            tokens, real = (heard.tokens, heard.mask) if same else (None, None)
            return Encoding(pooled=found, tokens=tokens, mask=real, layers=heard.layers)
        read, ids = self.speak(found)
        return Encoding(
            pooled=read.pooled, tokens=read.tokens, mask=read.mask, layers=heard.layers, extra={"keywords": ids}
        )

    def speak(self, keywords: Tensor) -> tuple[Encoding, Tensor]:
        """Keyword embeddings [B, K, D] -> the text tower's encoding of the nearest entries, and their ids [B, K]."""
        assert self.text is not None
        table = self.text.token_table()
        table = getattr(table, "full_tensor", lambda: table)()  # whole, where FSDP shares weights out
        entries, ids = nearest_entries(keywords, table, self.allowed, temperature=self.temperature)
        first, last, _ = _special(self.text)
        around = [table[torch.tensor(part, dtype=torch.long, device=table.device)] for part in (first, last)]
        front, back = (part.to(entries.dtype).expand(len(entries), -1, -1) for part in around)
        embeds = torch.cat([front, entries, back], dim=1)
        real = torch.ones(embeds.shape[:2], dtype=torch.bool, device=embeds.device)
        return self.text.forward_embeds(embeds, real), ids

    def layer_groups(self) -> list[list[str]]:
        """The encoder's groups, the head, the text tower's."""
        groups = [[f"encoder.{name}" for name in group] for group in self.encoder.layer_groups()]
        if self.text is None:
            return [*groups, ["head"]]
        spoken = [[f"text.{name}" for name in group] for group in self.text.layer_groups()] or [["text"]]
        return [*groups, ["head"], *spoken]

    def save_assets(self, folder: Path) -> None:
        """The files of own towers; those of shared ones lie with their streams. The vocabulary is in the weights."""
        for name in self._own:
            (folder / name).mkdir(parents=True, exist_ok=True)
            getattr(self, name).save_assets(folder / name)


def _part(option: TowerPart | TowerRef) -> TowerPart:
    return TowerPart(ref=option.ref) if isinstance(option, TowerRef) else option


def _table(text: Tower) -> Tensor:
    """[V, D]. Raises UserError for a tower that takes no input embeddings."""
    kind = type(text)
    if kind.token_table is Tower.token_table or kind.forward_embeds is Tower.forward_embeds:
        raise UserError(
            f"text: {kind.__name__} takes no keywords.",
            hint="It needs a tower with `token_table` and `forward_embeds`, such as text/open_clip.",
        )
    return text.token_table()


def _special(text: Tower) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Ids in front of a text, behind it, and of padding."""
    tokenizer = getattr(text.processor, "tokenizer", None)
    if not all(hasattr(tokenizer, name) for name in ("prefix", "suffix", "pad_id")):
        raise UserError(f"text: the tokenizer of {type(text).__name__} does not say its special tokens.")
    return tuple(tokenizer.prefix), tuple(tokenizer.suffix), tokenizer.pad_id  # type: ignore[union-attr]


def _check_room(text: Tower, keywords: int) -> None:
    first, last, _ = _special(text)
    room = getattr(text.processor, "context_length", None)
    if room is not None and len(first) + keywords + len(last) > room:
        raise UserError(
            f"keywords: {keywords} of them and {len(first) + len(last)} special tokens do not fit into the text "
            f"tower's {room}."
        )
