"""Options of the text towers (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge


@dataclass(kw_only=True)
class TextOptions:
    """What every text tower has."""

    context_length: Annotated[int, Ge(4)] | None = None
    """Tokens per text, special tokens included; the rest is cut off. Default: the model's own (at most 512)."""
    truncation: Literal["end", "simple", "random", "shuffle"] = "end"
    """Which tokens of a too long text stay in TRAINING (text masking of CLIPA): `end` the first ones, `simple` a
    random block, `random` a random subset in order, `shuffle` a random subset in random order. Evaluation: `end`."""
    clean: Literal["strip", "whitespace", "lower", "canonicalize"] = "strip"
    """Before the tokenizer: `strip` the ends, `whitespace` also collapse runs of it, `lower` also lower case,
    `canonicalize` also drop punctuation (SigLIP)."""
    pad: Literal["longest", "context"] | None = None
    """Pad to the longest text of the batch (less time) or always to `context_length`. Default: as the model was
    trained. The embeddings agree to rounding, except for models that attend to their padding: they need `context`."""
    output: Literal["pooled", "projected"] = "pooled"
    """`pooled`: before the model's own projection to its joint space; `projected`: after it (projection: identity)."""
    tokenizer: str | None = None
    """Instead of the model's own: a folder, hub id or `package:NAME/FOLDER` with tokenizer files, `open_clip` (the BPE
    of CLIP, in the package) or `bytes` (UTF-8 bytes, 259 ids)."""

    @property
    def deterministic(self) -> bool:
        """Whether training samples are those of evaluation."""
        return self.truncation == "end"


@dataclass(kw_only=True)
class OpenClipTextOptions(TextOptions):
    """text/open_clip."""

    model: str | dict[str, Any] = "ViT-B-32"
    """A model name of open_clip (`open_clip.list_models()`), `local-dir:PATH`, `hf-hub:ID`, or a config:
    `{embed_dim: 64, text_cfg: {context_length: 32, width: 64, heads: 2, layers: 2}, quick_gelu: false}`."""
    pretrained: str | bool = False
    """A weight tag of open_clip (`laion2b_s34b_b79k`), a local file of the whole model (its text part is taken), or
    true for the weights of a `local-dir:` or `hf-hub:` model; false: random weights."""
    quick_gelu: bool | None = None
    """The activation of OpenAI's models. Default: what the model's config and its weight tag say."""

    def __post_init__(self):
        if isinstance(self.model, dict) and not isinstance(self.model.get("text_cfg"), dict):
            raise ValueError("an inline model needs text_cfg, a mapping; see the model_configs of open_clip")
        places = ("local-dir:", "hf-hub:")
        if self.pretrained is True and not (isinstance(self.model, str) and self.model.startswith(places)):
            raise ValueError("pretrained: true needs a local-dir: or hf-hub: model; name a tag or a file")


@dataclass(kw_only=True)
class TransformersTextOptions(TextOptions):
    """text/transformers."""

    model: str | dict[str, Any] = "sentence-transformers/all-MiniLM-L6-v2"
    """A hub id, a local folder, `package:NAME/FOLDER` (a folder inside an installed Python package), or an inline
    config for random weights: `{model_type: bert, hidden_size: 128, num_hidden_layers: 2, ...}`."""
    pretrained: bool = True
    """false: only the configuration of the folder, with random weights. An inline config is always random."""
    config: dict[str, Any] = field(default_factory=dict)
    """Settings of the model's configuration to change: `{attention_probs_dropout_prob: 0.0}`."""
    pool: Literal["default", "cls", "mean", "words", "max", "last", "eos"] = "default"
    """How tokens become one vector. `default`: what the folder says (sentence-transformers), else the model's own
    pooler, else `last` for causal models, else `mean`. `words`: the mean without the first token (VideoCLIP)."""
    attend_padding: bool | None = None
    """The model sees padding as tokens and texts are padded to `context_length`. Default: true for SigLIP, which was
    trained so."""

    def __post_init__(self):
        if isinstance(self.model, dict) and not isinstance(self.model.get("model_type"), str):
            raise ValueError("an inline model needs model_type, such as bert")
        if self.output == "projected" and self.pool != "default":
            raise ValueError("output: projected uses the model's own pooling; leave pool out")
        if self.attend_padding and self.pad == "longest":
            raise ValueError("attend_padding needs pad: context")
