"""Tiny configurations of both towers: label -> (registry name, options)."""

from __future__ import annotations

from typing import Any

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
OC = {"context_length": 12, "width": 32, "heads": 2, "layers": 2}
BIDIRECTIONAL = {**OC, "no_causal_mask": True, "pool_type": "last", "proj_bias": True}


def hf(model_type: str, *, pool: str = "default", output: str = "pooled", **config: Any) -> tuple[str, dict]:
    options = {"model": {"model_type": model_type, **SMALL, **config}, "tokenizer": "bytes", "context_length": 24}
    return "text/transformers", {**options, "pool": pool, "output": output}


def oc(text_cfg: dict, **options: Any) -> tuple[str, dict]:
    return "text/open_clip", {"model": {"embed_dim": 24, "text_cfg": text_cfg}, **options}


DISTILBERT = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48}
T5 = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "clip pooled": oc(OC),
    "clip projected": oc(OC, output="projected"),
    "clip bytes": oc({**OC, "vocab_size": 259}, tokenizer="bytes", output="projected"),
    "clip longest": oc(OC, output="projected", pad="longest"),
    "siglip": oc(BIDIRECTIONAL, output="projected"),
    "coca": oc({**OC, "embed_cls": True}, output="projected"),
    "custom blocks": oc({**OC, "qk_norm": True, "scale_attn": True}, output="projected"),
    "bert": hf("bert"),
    "bert mean": hf("bert", pool="mean"),
    "bert cls": hf("bert", pool="cls"),
    "bert max": hf("bert", pool="max"),
    "roberta": hf("roberta", pool="mean"),
    "xlm-roberta": hf("xlm-roberta", pool="cls"),
    "mpnet": hf("mpnet", pool="mean"),
    "distilbert": ("text/transformers", {"model": {"model_type": "distilbert", **DISTILBERT}}),
    "modernbert": hf("modernbert"),
    "t5": ("text/transformers", {"model": {"model_type": "t5", **T5}, "context_length": 24}),
    "clip_text": hf("clip_text_model"),
    "clip_text projected": hf("clip_text_model", projection_dim=20, output="projected"),
    "siglip_text": hf("siglip_text_model", projection_size=32),
    "siglip_text mean": hf("siglip_text_model", pool="mean"),
    "gpt2": ("text/transformers", {"model": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2}}),
    "llama": hf("llama"),
    "qwen3": hf("qwen3", pool="eos", num_key_value_heads=2, head_dim=16),
}
