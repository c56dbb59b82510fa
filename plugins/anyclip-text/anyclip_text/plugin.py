"""What this package registers. The only module that its entry point names; no torch here."""

from __future__ import annotations

from anyclip.hookspecs import hookimpl
from anyclip.specs import ModalitySpec, TowerSpec


@hookimpl
def anyclip_modalities():
    yield ModalitySpec(
        name="text",
        suffixes=(".txt",),
        string_is_value=True,
        decode="anyclip_text.modality:decode",
        content_key="anyclip_text.modality:content_key",
        preview="anyclip_text.modality:preview",
        synthetic="anyclip_text.synthetic:render",
        summary="Captions, titles, sentences: plain strings",
    )


_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


@hookimpl
def anyclip_towers():
    yield TowerSpec(
        name="text/open_clip",
        target="anyclip_text.open_clip_tower:OpenClipText",
        options="anyclip_text.options:OpenClipTextOptions",
        summary="The text side of any open_clip model, by config name or inline config",
        tiny={"model": {"embed_dim": 24, "text_cfg": {"context_length": 64, "width": 32, "heads": 2, "layers": 2}}},
    )
    yield TowerSpec(
        name="text/transformers",
        target="anyclip_text.transformers_tower:TransformersText",
        options="anyclip_text.options:TransformersTextOptions",
        summary="Any transformers text encoder or decoder: BERT, RoBERTa, MPNet, T5, CLIP, SigLIP, language models",
        tiny={"model": {"model_type": "bert", **_SMALL}, "context_length": 160},
    )
