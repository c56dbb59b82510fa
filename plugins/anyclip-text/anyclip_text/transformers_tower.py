"""text/transformers: any text encoder of the transformers library."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from anyclip.errors import UserError
from anyclip.towers import Encoding
from anyclip_text.intercept import given_embeddings, stand_in
from anyclip_text.options import TransformersTextOptions
from anyclip_text.pooling import pool_tokens
from anyclip_text.processor import TextProcessor
from anyclip_text.text_tower import TextTower
from anyclip_text.tokenizers import TextTokenizer, create_tokenizer, saved_tokenizer
from anyclip_text.transformers_build import (
    build_text,
    check_keys,
    default_pool,
    folder_length,
    folder_pool,
    inline_config,
    pooling_head,
    read_config,
    resolve_source,
    text_part,
    usable_positions,
)
from anyclip_text.transformers_layers import group_by_layer

LONGEST_BY_DEFAULT = 512  # some models take 100,000 tokens; captions do not
SETTINGS_FILE = "anyclip_text.json"
CLIP_VOCABULARY = 49408


class TransformersText(TextTower):
    """The encoder in `model` under the library's names, its tokenizer in `processor`.

    `layers` counts blocks from 0; depth d is `hidden_states[d + 1]`.
    """

    name = "text/transformers"

    def _build(self, options: TransformersTextOptions, assets: Path | None, *, load_weights: bool) -> None:
        if assets is not None and (assets / SETTINGS_FILE).is_file():
            tokenizer, config = saved_tokenizer(assets / "tokenizer"), read_config(str(assets))
            self.settings = json.loads((assets / SETTINGS_FILE).read_text())
            source = None
        else:
            tokenizer, config, source = self._source(options, assets)
            self.settings = self._settle(options, config, tokenizer, source)
        self.pool, self.projected = self.settings["pool"], self.settings["projected"]
        self.attend_padding = self.settings["attend_padding"]
        weights = source if load_weights and options.pretrained else None
        self.model = build_text(config, source=weights, projected=self.projected, pooler=self.pool == "default")
        self.width = self._width(config)
        self.processor = self._processor(options, tokenizer, config)

    def _source(self, options: TransformersTextOptions, assets: Path | None) -> tuple[TextTokenizer, Any, str | None]:
        """Tokenizer, configuration of the text part, and where weights come from (None: nowhere)."""
        ready = saved_tokenizer(assets / "tokenizer") if assets and (assets / "tokenizer").is_dir() else None
        if isinstance(options.model, dict):
            tokenizer = ready or create_tokenizer(options.tokenizer or "bytes")
            config = text_part(inline_config(options.model, tokenizer))
            source = None
        else:
            source = resolve_source(options.model)
            config = text_part(read_config(source))
            tokenizer = ready or create_tokenizer(options.tokenizer or source)
        check_keys(config, options.config, where="option config")
        for key, value in options.config.items():
            setattr(config, key, value)
        return tokenizer, config, source

    def _settle(
        self, options: TransformersTextOptions, config: Any, tokenizer: TextTokenizer, source: str | None
    ) -> dict[str, Any]:
        """What the folder says beside the architecture, so that a saved run needs the folder no more."""
        projected = options.output == "projected"
        pool = options.pool
        if pool == "default" and not projected:
            pool = (folder_pool(source) if source else None) or default_pool(config)
        if pool == "eos" and tokenizer.eos_id not in tokenizer.suffix:
            raise UserError("pool: eos needs a tokenizer that ends texts with a token.", hint="Choose pool: last.")
        if pool == "default" and isinstance(options.model, dict) and _pools_at_largest(config):
            raise UserError(  # transformers keeps an old mistake for the id 2: it pools at the largest id instead
                "CLIP models whose end-of-text id is 2 do not pool at the end of the text.",
                where="option tokenizer",
                hint="Choose the tokenizer open_clip or bytes, or pool: eos.",
            )
        attends = options.attend_padding
        if attends is None:
            attends = "siglip" in config.model_type
        length = folder_length(source) if source else None
        return {"pool": pool, "projected": projected, "attend_padding": attends, "max_length": length}

    def _width(self, config: Any) -> int:
        if self.projected and hasattr(self.model, "text_projection"):
            return config.projection_dim
        head = pooling_head(self.model)
        if self.pool == "default" and head is not None:
            return head.out_features
        return config.hidden_size

    def _processor(self, options: TransformersTextOptions, tokenizer: TextTokenizer, config: Any) -> TextProcessor:
        rows = self.model.get_input_embeddings().num_embeddings
        if tokenizer.vocab_size > rows and options.tokenizer:
            raise UserError(
                f"the model has {rows} token embeddings, the tokenizer {tokenizer.vocab_size} ids.",
                where="option tokenizer",
            )
        table = usable_positions(self.model, config)
        stated = [n for n in (self.settings["max_length"], tokenizer.max_length, table, LONGEST_BY_DEFAULT) if n]
        length = options.context_length or min(stated)
        if table is not None and length > table:
            raise UserError(f"the model has {table} positions, not {length}.", where="option context_length")
        fixed = self.attend_padding or options.pad == "context"
        return TextProcessor(tokenizer, length, fixed=fixed, truncation=options.truncation, clean=options.clean)

    def forward_embeds(self, embeds: Tensor, mask: Tensor, *, context: Encoding | None = None) -> Encoding:
        """Token embeddings [B, T, W] where mask is True; the ids that a model also reads are stand-ins."""
        self._no_context(context)
        tokenizer = self.processor.tokenizer
        length = self.processor.context_length if self.attend_padding else embeds.shape[1]
        ids, mask, embeds = stand_in(embeds, mask, tokenizer, self.token_table()[tokenizer.pad_id], length)
        return self._run(ids, mask, None, (), embeds)

    def _run(
        self,
        ids: Tensor,
        present: Tensor,
        dropped: Tensor | None,
        layers: Sequence[int],
        embeds: Tensor | None = None,
    ) -> Encoding:
        kept = present if dropped is None else present & ~dropped
        seen = kept
        if self.attend_padding:
            seen = None if dropped is None else ~dropped
        with ExitStack() as stack:
            if embeds is not None:
                stack.enter_context(given_embeddings(self.model, self.model.get_input_embeddings(), embeds))
            output = self.model(
                input_ids=ids,
                attention_mask=None if seen is None else seen.long(),
                output_hidden_states=bool(layers),
                return_dict=True,
            )
        hidden = output.hidden_states
        return Encoding(
            pooled=self._pooled(output, kept, ids),
            tokens=self._tokens(output.last_hidden_state),
            mask=kept,
            layers={d: hidden[d + 1 if d >= 0 else d] for d in layers},
        )

    def _pooled(self, output: Any, kept: Tensor, ids: Tensor) -> Tensor:
        if self.projected and output.get("text_embeds") is not None:
            return output.text_embeds
        if self.pool == "default":
            return output.pooler_output
        eos = self.processor.tokenizer.eos_id
        return pool_tokens(output.last_hidden_state, kept, ids, self.pool, eos)

    def _tokens(self, tokens: Tensor) -> Tensor:
        """Tokens through the model's own projection when the pooled vector went through it, so that widths agree."""
        if self.projected and hasattr(self.model, "text_projection"):
            return self.model.text_projection(tokens)
        head = pooling_head(self.model)
        if self.pool == "default" and head is not None:
            return head(tokens)
        return tokens

    def token_table(self) -> Tensor:
        table = self.model.get_input_embeddings()
        if type(table) is nn.Embedding:
            return table.weight
        return table(torch.arange(table.num_embeddings, device=table.weight.device))  # some scale what they return

    def layer_groups(self) -> list[list[str]]:
        return group_by_layer(
            self, last=("model.text_projection", "model.head", "model.text_model.head", "model.pooler")
        )

    def save_assets(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.model.config.save_pretrained(str(folder))
        (folder / SETTINGS_FILE).write_text(json.dumps(self.settings, indent=1, sort_keys=True) + "\n")
        self.processor.tokenizer.save(folder / "tokenizer")


def _pools_at_largest(config: Any) -> bool:
    return config.eos_token_id == 2 and config.model_type.startswith("clip") and config.vocab_size != CLIP_VOCABULARY
