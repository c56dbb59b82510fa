"""Adapters: what learns, what is saved, what the first weights are."""

from __future__ import annotations

import pytest
import torch

import anyclip
from anyclip.checkpoint import save_model_folder
from anyclip.checkpoint.tensors import module_state
from anyclip.config import config_from_dict, load_config
from anyclip.errors import ConfigError, UserError
from anyclip.model import build_model
from anyclip.model.loading import load_tower_state
from anyclip.trainer import train

pytest.importorskip("peft")


def config_of(**lora):
    tower = {"name": "toy/mlp", "options": {"width": 16}}
    towers = {"left": {**tower, **lora}, "right": dict(tower)}
    data = {"train": [{"name": "synthetic", "options": {"size": 32, "streams": {}}}], "batch_size": 8, "workers": 0}
    return {
        "model": {"dim": 6, "towers": towers},
        "objectives": [{"pair": ["left", "right"]}],
        "data": data,
        "train": {"steps": 6, "threads": 1, "accelerator": "cpu", "devices": 1},
    }


def built(**lora):
    return build_model(config_from_dict(config_of(**lora)).model, seed=0)


def test_only_adapters_learn_and_the_first_outputs_are_unchanged():
    plain, adapted = built(), built(lora={"rank": 2})
    learns = {n for n, p in adapted.tower("left").named_parameters() if p.requires_grad}
    assert learns
    assert all(".lora_" in n for n in learns)
    assert all(p.requires_grad for p in adapted.tower("right").parameters())
    inputs = torch.randn(5, 16)
    assert torch.equal(plain.eval().embed("left", inputs), adapted.eval().embed("left", inputs))
    again = built(lora={"rank": 2})
    for (name, a), b in zip(adapted.state_dict().items(), again.state_dict().values()):
        assert torch.equal(a, b), f"{name} is not a function of the seed"


def test_a_plain_tower_gives_the_first_weights():
    plain, adapted = build_model(config_from_dict(config_of()).model, seed=5), built(lora={"rank": 2})
    load_tower_state(adapted, "left", module_state(plain))
    base = {n: p for n, p in adapted.tower("left").state_dict().items() if ".lora_" not in n}
    for (name, value), (now, taken) in zip(plain.tower("left").state_dict().items(), base.items()):
        assert now.replace(".base_layer", "") == name
        assert torch.equal(value, taken)


def test_a_run_trains_saves_resumes_and_opens(tmp_path):
    source = config_of(lora={"rank": 2, "alpha": 4, "match": [r"\d"]})
    source["train"]["out"] = str(tmp_path / "run")
    whole = config_from_dict(source)
    train(whole, quiet=True)
    model = anyclip.load(tmp_path / "run")
    first = build_model(whole.model, seed=whole.train.seed)
    moved = [n for n, p in model.joint.tower("left").named_parameters() if not torch.equal(p, _of(first, n))]
    assert moved
    assert all(".lora_" in n for n in moved), "the tower's own weights stay"
    again = load_config(tmp_path / "run" / "config.yaml", ["train.steps=8"])
    train(again, resume=True, quiet=True)
    folder = save_model_folder(tmp_path / "model", model.joint, model.config)
    assert anyclip.load(folder).digest() == model.digest()


def test_mistakes():
    with pytest.raises(UserError, match="matches no parameter"):
        built(lora={"match": ["nowhere"]})
    with pytest.raises(ConfigError, match=r"freeze: does nothing.*lora"):
        config_from_dict(config_of(lora={"rank": 2}, freeze=True))
    with pytest.raises(ConfigError, match="rank"):
        config_from_dict(config_of(lora={"rank": 0}))


def test_attention_of_a_real_tower():
    """nn.MultiheadAttention reads its own weights, so its layers get no adapter; every adapter learns."""
    pytest.importorskip("anyclip_image")
    from anyclip.registry import get_registry

    name = "image/transformers"
    tower = {"name": name, "options": dict(get_registry().spec("tower", name).tiny), "lora": {"rank": 2}}
    model = build_model(config_from_dict({"model": {"dim": 4, "towers": {"image": tower}}}).model)
    inputs = model.processor("image").collate([model.processor("image").placeholder()] * 2)
    for n, p in model.named_parameters():
        if ".lora_B" in n:
            torch.nn.init.normal_(p)
    (model.embed("image", inputs) * torch.randn(2, 4)).sum().backward()
    silent = [n for n, p in model.named_parameters() if ".lora_" in n and (p.grad is None or not p.grad.any())]
    assert silent == []


def _of(model, name):
    return dict(model.tower("left").named_parameters())[name]
