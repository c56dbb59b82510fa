"""audio/speechclip: the seam to the real text towers, gradients, shared towers, keywords, mistakes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import yaml
from anyclip_audio.quantize import cosines, nearest_entries, perplexities, read_vocabulary
from anyclip_audio.speech_rows import TINY
from anyclip_audio.speechclip_heads import KeywordNorm
from anyclip_audio.speechclip_tower import SpeechclipTower

import anyclip
from anyclip.cli.main import run
from anyclip.config.schema import ModelConfig, TowerConfig
from anyclip.errors import UserError
from anyclip.model import build_model
from anyclip.towers import Tower, create_tower

from .conftest import clip
from .speech_cases import TEXT, TEXT_CFG

ENCODER = TINY["speechclip"]["encoder"]
RATE = 16_000
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
TEXTS = {
    "clip of open_clip": ("text/open_clip", TEXT),
    "a bidirectional model of open_clip": (
        "text/open_clip",
        {**TEXT, "model": {"embed_dim": 24, "text_cfg": {**TEXT_CFG, "no_causal_mask": True, "pool_type": "last"}}},
    ),
    "bert": ("text/transformers", {"model": {"model_type": "bert", **SMALL}, "tokenizer": "bytes"}),
    "clip of transformers": (
        "text/transformers",
        {"model": {"model_type": "clip_text_model", **SMALL}, "tokenizer": "bytes", "context_length": 20},
    ),
    "gpt2": (
        "text/transformers",
        {"model": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2}, "tokenizer": "bytes"},
    ),
}


def cascaded(text: Tower, **more) -> SpeechclipTower:
    options = {"encoder": ENCODER, "head": "cascaded", "keywords": 5, "text": {"ref": "text"}, **more}
    made = create_tower("audio/speechclip", refs={"text": text}, **options).eval()
    assert isinstance(made, SpeechclipTower)
    return made


def sounds(model, n: int):
    return model.processor.collate([model.processor.load((clip(0.4 + 0.2 * i, seed=i), RATE)) for i in range(n)])


@pytest.mark.parametrize("kind", TEXTS)
def test_keywords_are_read_as_the_text_of_their_ids(kind):
    torch.manual_seed(0)
    name, options = TEXTS[kind]
    text = create_tower(name, **options).eval()
    model = cascaded(text)
    with torch.no_grad():
        found = model(sounds(model, 3))
        ids = found.extra["keywords"]
        tokenizer: Any = vars(text.processor)["tokenizer"]
        written = [[*tokenizer.prefix, *row.tolist(), *tokenizer.suffix] for row in ids]
        want = text(text.processor.collate(written))
    assert ids.shape == (3, 5)
    assert not set(ids.flatten().tolist()) & {*tokenizer.prefix, *tokenizer.suffix, tokenizer.pad_id}
    assert model.width == text.width
    torch.testing.assert_close(found.pooled, want.pooled, atol=1e-5, rtol=1e-4)


def test_the_gradient_passes_through_a_frozen_text_tower():
    torch.manual_seed(0)
    text = create_tower("text/open_clip", **TEXT).requires_grad_(False)
    model = cascaded(text).train()
    model.encoder.model.requires_grad_(False)
    pooled = model(sounds(model, 4)).pooled
    (pooled * torch.linspace(-1, 1, pooled.shape[1])).sum().backward()
    learns: Any = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert set(learns) == {"encoder.layer_weights", *(n for n, _ in model.named_parameters() if n.startswith("head."))}
    assert all(grad is not None and bool(grad.isfinite().all()) for grad in learns.values())
    for name in ("head.cls", "encoder.layer_weights", "head.linear_proj.weight"):
        assert learns[name].count_nonzero(), name
    assert all(p.grad is None for p in text.parameters())


def test_the_nearest_entry_and_its_gradient():
    torch.manual_seed(0)
    table, x = torch.randn(30, 8), torch.randn(2, 3, 8, requires_grad=True)
    allowed = torch.ones(30, dtype=torch.bool)
    free = nearest_entries(x, table, allowed, temperature=0.1)[1]
    allowed[free[0, 0]] = False
    entries, ids = nearest_entries(x, table, allowed, temperature=0.1)
    by_hand = torch.nn.functional.cosine_similarity(x[:, :, None], table, dim=-1)
    by_hand[..., ~allowed] = -2
    assert torch.equal(ids, by_hand.argmax(dim=-1))
    assert ids[0, 0] != free[0, 0]
    torch.testing.assert_close(entries, table[ids], atol=1e-6, rtol=1e-5)
    weight = torch.randn(2, 3, 8)
    (got,) = torch.autograd.grad((entries * weight).sum(), x)
    soft = (cosines(x, table, allowed) / 0.1).softmax(dim=-1) @ table
    (want,) = torch.autograd.grad((soft * weight).sum(), x)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        assert torch.equal(nearest_entries(x, table, allowed, temperature=0.1)[0], table[ids])


def test_perplexities_count_what_is_used():
    scores = torch.full((2, 2, 6), -50.0)
    scores[0, :, 1] = scores[1, :, 4] = 50.0
    used, spread = perplexities(scores)
    assert float(used) == pytest.approx(2, rel=1e-4)
    assert float(spread) == pytest.approx(2, rel=1e-4)
    assert float(perplexities(torch.zeros(2, 2, 6))[1]) == pytest.approx(6, rel=1e-4)


def test_keywords_start_as_the_tokens_are_spread():
    torch.manual_seed(0)
    table = 3 + 0.2 * torch.randn(500, 4)
    norm = KeywordNorm(3, table).train()
    found = norm(torch.randn(400, 3, 4) * 9)
    torch.testing.assert_close(found.mean(dim=0), table.mean(dim=0).expand(3, -1), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found.std(dim=0), table.std(dim=0).expand(3, -1), atol=1e-2, rtol=1e-2)
    assert norm(torch.randn(1, 3, 4)).shape == (1, 3, 4)  # one row in training: its own deviation is 0
    x = torch.randn(2, 3, 4)
    flat = norm.eval().bn_layer(torch.stack([x[:, k, d] for d in range(4) for k in range(3)], dim=1))
    torch.testing.assert_close(norm(x)[:, 1, 2], flat[:, 2 * 3 + 1])  # channel-major, as published


def test_a_vocabulary_limits_the_keywords(tmp_path):
    torch.manual_seed(0)
    file = tmp_path / "ids.txt"
    file.write_text("66\n70\n99\n257\n")
    text = create_tower("text/open_clip", **TEXT).eval()
    model = cascaded(text, vocabulary=str(file))
    with torch.no_grad():
        found = model(sounds(model, 3)).extra["keywords"]
    assert set(found.flatten().tolist()) <= {66, 70, 99}
    file.unlink()
    again: Any = create_tower(
        "audio/speechclip", refs={"text": text}, load_weights=False, encoder=ENCODER, head="cascaded", keywords=5,
        text={"ref": "text"}, vocabulary=str(file),
    )  # fmt: skip
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.allowed, model.allowed)
    file.write_text("66\nhello")
    with pytest.raises(UserError, match=r"entry 2 of .*ids\.txt' is 'hello', not an id below 259"):
        read_vocabulary(str(file), 259)
    with pytest.raises(UserError, match="cannot be read"):
        cascaded(text, vocabulary="/nowhere.txt")
    file.write_text("257")
    with pytest.raises(UserError, match="it holds special tokens only"):
        cascaded(text, vocabulary=str(file))


def test_both_heads_share_one_encoder_and_the_text_tower_its_weights(tmp_path):
    towers = {
        "speech": TowerConfig(name="audio/speechclip", options={"encoder": ENCODER, "heads": 4}),
        "spoken": TowerConfig(
            name="audio/speechclip",
            options={"encoder": {"ref": "speech"}, "head": "cascaded", "keywords": 4, "text": {"ref": "text"}},
            projection="identity",
        ),
        "text": TowerConfig(name="text/open_clip", options=TEXT, projection="identity", freeze=True),
    }
    config = ModelConfig(dim=24, towers=towers)
    model = build_model(config)
    spoken = model.tower("spoken")
    assert isinstance(spoken, SpeechclipTower)
    assert spoken.encoder is model.tower("speech").encoder
    assert spoken.text is model.tower("text")
    state = model.state_dict()
    assert not any(name.startswith(("towers.spoken.text.", "towers.spoken.encoder.")) for name in state)
    assert not any(p.requires_grad for p in model.tower("text").parameters())
    model.save_assets(tmp_path)
    again = build_model(config, assets=tmp_path, load_weights=False, seed=7).eval()
    again.load_state_dict(state)
    inputs = sounds(spoken, 2)
    with torch.no_grad():
        assert torch.equal(again.embed("spoken", inputs), model.eval().embed("spoken", inputs))


def test_a_run_trains_both_heads_and_its_folder_embeds(tmp_path):
    loss = {"loss": "infonce", "scale": {"init": 1 / 0.07, "learn": False}}
    head = {"head": "cascaded", "keywords": 4, "text": {"ref": "text"}}
    config = {
        "model": {
            "dim": 24,
            "towers": {
                "speech": {
                    "name": "audio/speechclip",
                    "options": {"encoder": ENCODER, "heads": 4},
                    "freeze": [r"^encoder\.model\."],
                },
                "spoken": {
                    "name": "audio/speechclip",
                    "options": {"encoder": {"ref": "speech"}, **head},
                    "projection": "identity",
                },
                "text": {"name": "text/open_clip", "options": TEXT, "projection": "identity", "freeze": True},
            },
        },
        "objectives": [{"pair": ["speech", "text"], **loss}, {"pair": ["spoken", "text"], **loss}],
        "data": {
            "train": [
                {
                    "name": "synthetic",
                    "options": {"size": 32, "factors": ["pitch", "loudness"]},
                    "fields": {"speech": "audio", "spoken": "audio"},
                }
            ],
            "batch_size": 8,
            "workers": 0,
        },
        "train": {"steps": 3, "out": str(tmp_path / "run"), "threads": 1, "accelerator": "cpu", "devices": 1},
    }
    file = tmp_path / "speechclip.yaml"
    file.write_text(yaml.safe_dump(config))
    assert run(["train", str(file)]) == 0
    model = anyclip.load(tmp_path / "run")
    found = model.embed(spoken=[(clip(0.5), RATE)], speech=[(clip(0.5), RATE)])
    assert all(math.isclose(float(torch.as_tensor(v).norm()), 1, rel_tol=1e-5) for v in found.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "cascaded"}, "head: cascaded and text: .* belong together"),
        ({"text": {"ref": "text"}}, "head: cascaded and text: .* belong together"),
        ({"head": "cascaded", "text": {"ref": "text"}, "output": "projected"}, "set output there"),
        ({"head": "cascaded", "text": {"ref": "sound"}}, "takes no keywords"),
        ({"head": "cascaded", "text": {"ref": "text"}, "keywords": 15}, "15 of them and 2 special tokens do not fit"),
        ({"vocabulary": "ids.txt"}, "vocabulary is for head: cascaded"),
        ({"heads": 5}, "the encoder is 32 wide, which 5 heads do not divide"),
        ({"encoder": {"ref": "text"}}, "gives no frames of speech"),
    ],
)
def test_mistakes_are_named(options, message):
    refs = {
        "text": create_tower("text/open_clip", **TEXT),
        "sound": create_tower(ENCODER["name"], **ENCODER["options"]),
    }
    with pytest.raises(UserError, match=message):
        create_tower("audio/speechclip", refs=refs, **{"encoder": ENCODER, **options})


def test_keywords_cannot_be_masked():
    model = cascaded(create_tower("text/open_clip", **TEXT))
    inputs = sounds(model, 1)
    with pytest.raises(UserError, match="takes no mask"):
        model(inputs, mask=torch.zeros(1, 5, dtype=torch.bool))
