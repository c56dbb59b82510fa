"""text/open_clip: the text side of any open_clip model, built without its image side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from torch import Tensor, nn

from anyclip.errors import UserError
from anyclip.towers import Encoding
from anyclip_text.intercept import given_embeddings, hidden_keys, recorded_outputs, stand_in
from anyclip_text.open_clip_build import build_text, load_text_weights, text_config, weights_file
from anyclip_text.options import OpenClipTextOptions
from anyclip_text.processor import TextProcessor
from anyclip_text.text_tower import TextTower
from anyclip_text.tokenizers import ClipBPETokenizer, TextTokenizer, create_tokenizer, saved_tokenizer
from anyclip_text.transformers_layers import find_layers, group_by_layer

CONFIG_FILE = "open_clip.json"
HF_FOLDER = "hf_model"


class OpenClipText(TextTower):
    """open_clip's text encoder in `model`, its tokenizer in `processor`.

    With `output: projected` it gives `encode_text` bit for bit.
    """

    name = "text/open_clip"

    def _build(self, options: OpenClipTextOptions, assets: Path | None, *, load_weights: bool) -> None:
        if assets is not None and (assets / CONFIG_FILE).is_file():
            self.config = json.loads((assets / CONFIG_FILE).read_text())
            if (assets / HF_FOLDER).is_dir():
                self.config["text_cfg"]["hf_model_name"] = str(assets / HF_FOLDER)
        else:
            self.config = text_config(options)
        self.model, self.width = build_text(self.config)
        if load_weights and options.pretrained:
            load_text_weights(self.model, weights_file(options.model, options.pretrained))
        tokenizer = self._tokenizer(options, assets)
        context = self._context(options, tokenizer)
        fixed = (options.pad or "context") == "context" or self._attends_to_padding
        self.processor = TextProcessor(
            tokenizer, context, fixed=fixed, truncation=options.truncation, clean=options.clean
        )
        if options.pad == "longest" and self._attends_to_padding:
            raise UserError("pad: longest changes the embeddings of this model, which attends to padding.")

    @property
    def _wraps_transformers(self) -> bool:
        return bool(self.config["text_cfg"].get("hf_model_name"))

    @property
    def _attends_to_padding(self) -> bool:
        """Bidirectional open_clip text models see their padding, and pool `last` reads it."""
        text = self.config["text_cfg"]
        return not self._wraps_transformers and bool(text.get("no_causal_mask") or text.get("pool_type") == "last")

    def _tokenizer(self, options: OpenClipTextOptions, assets: Path | None) -> TextTokenizer:
        text = self.config["text_cfg"]
        asked = text.get("tokenizer_kwargs") or {}
        clean, drop_sep = asked.get("clean"), bool(asked.get("strip_sep_token"))
        if assets is not None and (assets / "tokenizer").is_dir():
            tokenizer = saved_tokenizer(assets / "tokenizer")
        elif options.tokenizer:
            tokenizer = create_tokenizer(options.tokenizer, clean=clean, drop_sep=drop_sep)
        elif text.get("hf_tokenizer_name"):
            if text.get("tokenizer_mode"):
                raise UserError(f"open_clip's tokenizer_mode {text['tokenizer_mode']!r} is not supported.")
            tokenizer = create_tokenizer(text["hf_tokenizer_name"], clean=clean or "whitespace", drop_sep=drop_sep)
        else:
            tokenizer = ClipBPETokenizer(clean or "lower")
        rows = self._token_embedding().num_embeddings
        if tokenizer.vocab_size > rows and isinstance(tokenizer, ClipBPETokenizer):
            raise UserError(
                f"the model has {rows} token embeddings, its tokenizer {tokenizer.vocab_size} ids.",
                hint="Set text_cfg.vocab_size, or choose the tokenizer `bytes`.",
            )
        if not self._wraps_transformers:
            self._match_pooling(tokenizer)
        return tokenizer

    def _match_pooling(self, tokenizer: TextTokenizer) -> None:
        """CLIP reads the position of the largest id; with another tokenizer that must be the end of the text."""
        if self.model.pool_type == "argmax" and tokenizer.eos_id != tokenizer.vocab_size - 1:
            if tokenizer.eos_id is None:
                raise UserError("the model pools at the end-of-text token, the tokenizer has none.")
            self.model.pool_type, self.model.eos_id = "eos", tokenizer.eos_id

    def _context(self, options: OpenClipTextOptions, tokenizer: TextTokenizer) -> int:
        if not self._wraps_transformers:
            return self.model.context_length
        limit = min(n for n in (tokenizer.max_length, self.model.context_length, 512) if n)
        return min(options.context_length or self.config["text_cfg"].get("context_length", 77), limit)

    def _token_embedding(self) -> nn.Embedding:
        if self._wraps_transformers:
            return self.model.transformer.get_input_embeddings()
        return self.model.token_embedding

    def forward_embeds(self, embeds: Tensor, mask: Tensor, *, context: Encoding | None = None) -> Encoding:
        """Token embeddings [B, T, W] where mask is True, T at most the context length."""
        self._no_context(context)
        processor = self.processor
        length = processor.context_length if processor.fixed else embeds.shape[1]
        padding = self.token_table()[processor.tokenizer.pad_id]
        ids, mask, embeds = stand_in(embeds, mask, processor.tokenizer, padding, length)
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
        with ExitStack() as stack:
            if embeds is not None:
                stack.enter_context(given_embeddings(self.model, self._token_embedding(), embeds))
            if dropped is not None and self._wraps_transformers:
                ids = ids.masked_fill(dropped, self.model.config.pad_token_id)
            elif dropped is not None:
                stack.enter_context(hidden_keys(self.model.transformer, dropped, self.model.heads))
            outputs = stack.enter_context(recorded_outputs(self._blocks(), layers)) if layers else {}
            pooled, tokens = self._call(ids)
        found = {depth: hidden[:, : ids.shape[1]] for depth, hidden in outputs.items()}  # without a class token
        return Encoding(pooled=pooled, tokens=self._project_tokens(tokens), mask=kept, layers=found)

    def _call(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        if self._wraps_transformers or self.model.context_length == ids.shape[1]:
            return self.model(ids)
        causal = self.model.attn_mask  # the library slices it only with an appended class token
        if causal is None or self.model.cls_emb is not None:
            return self.model(ids)
        try:
            self.model.attn_mask = causal[: ids.shape[1], : ids.shape[1]]
            return self.model(ids)
        finally:
            self.model.attn_mask = causal

    def _project_tokens(self, tokens: Tensor) -> Tensor:
        """Tokens through the same projection as the pooled vector, so that both have `width`."""
        if self._wraps_transformers:
            return self.model.proj(tokens)
        projection = self.model.text_projection
        if projection is None:
            return tokens
        return projection(tokens) if isinstance(projection, nn.Linear) else tokens @ projection

    def token_table(self) -> Tensor:
        return self._token_embedding().weight

    def _blocks(self) -> nn.ModuleList:
        return find_layers(self.model) if self._wraps_transformers else self.model.transformer.resblocks

    def layer_groups(self) -> list[list[str]]:
        if self._wraps_transformers:
            return group_by_layer(self, last=("model.proj",))
        blocks = [[f"model.transformer.resblocks.{i}"] for i in range(len(self._blocks()))]
        first = ["model.token_embedding", "model.positional_embedding", "model.cls_emb"]
        return [first, *blocks, ["model.ln_final", "model.text_projection"]]

    def save_assets(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if self._wraps_transformers:
            self.model.config.save_pretrained(str(folder / HF_FOLDER))
        config = {**self.config, "text_cfg": {**self.config["text_cfg"]}}
        if self._wraps_transformers:
            config["text_cfg"]["hf_model_name"] = HF_FOLDER
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
        self.processor.tokenizer.save(folder / "tokenizer")
