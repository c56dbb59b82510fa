"""Imported models give the embeddings of the libraries they come from; weights keep their values."""

import json
import math
import warnings

import open_clip
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch.nn import functional as F

from anyclip.checkpoint import open_model
from anyclip.checkpoint.importing import import_checkpoint_file
from anyclip.cli.import_ import command
from anyclip.config import named
from anyclip.errors import CheckpointError

transformers = pytest.importorskip("transformers")
pytest.importorskip("anyclip_text")

TEXTS = ["a red circle", "two dogs on a very long bench by the sea", "rain"]
LIMIT = 1e-5
TEXT_CFG = {"context_length": 12, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}
VIT = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2, "head_width": 64},
    "text_cfg": TEXT_CFG,
    "quick_gelu": True,
}
RESNET = {**VIT, "vision_cfg": {"image_size": 64, "layers": [1, 2, 1, 1], "width": 8, "head_width": 64}}
SIGLIP = {
    "embed_dim": 192,  # of the trunk, which has no projection
    "init_logit_bias": -10,
    "vision_cfg": {
        "image_size": 224,
        "timm_model_name": "vit_tiny_patch16_224",
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    },
    "text_cfg": {
        **TEXT_CFG,
        "width": 32,
        "heads": 2,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
        "act_kwargs": {"approximate": "tanh"},
        "tokenizer_kwargs": {"clean": "canonicalize"},
    },
}

PARTS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def pixels(size, n=3):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1))


def open_clip_model(config, custom=False):
    """A model of open_clip with random weights everywhere (fresh ones have zeros and equal scales)."""
    from open_clip.model import CLIP, CustomTextCLIP

    torch.manual_seed(0)
    config = {key: value for key, value in config.items() if key != "preprocess_cfg"}
    model = (CustomTextCLIP if custom else CLIP)(**json.loads(json.dumps(config)))
    return randomised(model)


def randomised(model):
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor += 0.02 * torch.randn(tensor.shape, generator=generator)
            if "running_var" in name:
                tensor.clamp_(min=0.5)
        model.logit_scale.fill_(2.345678)
    return model.eval()


def close(model, stream, inputs, expected):
    """Raw features and unit embeddings of an imported model against the library's."""
    with torch.no_grad():
        features = model.features(stream, model.encode(stream, inputs))
        difference = (model.embed(stream, inputs) - F.normalize(expected, dim=-1)).abs().max().item()
    assert difference < LIMIT
    assert torch.allclose(features, expected, rtol=1e-5, atol=1e-5 * expected.abs().max())
    return difference


def compare_open_clip(model, theirs, size, tokenizer=None):
    processor = model.processor("text")
    inputs = processor.collate([processor.load(text) for text in TEXTS])
    if tokenizer is not None:
        assert torch.equal(inputs["ids"], tokenizer(TEXTS))
    with torch.no_grad():
        close(model, "text", inputs, theirs.encode_text(inputs["ids"]))
        assert torch.equal(model.encode("text", inputs).pooled, theirs.encode_text(inputs["ids"]))
        close(model, "image", {"pixels": pixels(size)}, theirs.encode_image(pixels(size)))
    return model_scale(theirs)


def model_scale(theirs):
    return math.exp(theirs.logit_scale.double().item())


def saved_and_opened(folder, model):
    again, config = open_model(folder)
    own, other = model.state_dict(), again.state_dict()
    assert list(own) == list(other)
    assert all(torch.equal(own[name], other[name]) for name in own)
    return again, config


@pytest.mark.parametrize(("config", "size"), [(VIT, 32), (RESNET, 64)], ids=["vit", "resnet"])
def test_openai_state_dict(tmp_path, config, size):
    theirs = open_clip_model(config)
    state = dict(theirs.state_dict()) | {"input_resolution": torch.tensor(size), "context_length": torch.tensor(12)}
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "clip.pt")
    model, imported = import_checkpoint_file("openai-clip", tmp_path / "clip.pt", tmp_path / "out")
    tokenizer = open_clip.SimpleTokenizer(context_length=12)
    assert compare_open_clip(model, theirs, size, tokenizer) == imported.objectives[0].scale.init
    for name, tensor in theirs.state_dict().items():
        if name.startswith("visual."):
            assert torch.equal(model.state_dict()[f"towers.image.model.{name[7:]}"], tensor)
        elif name != "logit_scale":
            assert torch.equal(model.state_dict()[f"towers.text.model.{name}"], tensor)
    again, opened = saved_and_opened(tmp_path / "out", model)
    assert compare_open_clip(again, theirs, size, tokenizer) == opened.objectives[0].scale.init
    assert named(opened.objectives[0].loss).name == "infonce"


def test_openai_torchscript_archive_in_half_precision(tmp_path):
    """The published files: a scripted module with fp16 weights, numbers as attributes."""
    from open_clip.model import convert_weights_to_fp16

    theirs = open_clip_model(VIT)
    convert_weights_to_fp16(theirs)

    class Part(torch.nn.Module):
        def __init__(self, tensors):
            super().__init__()
            parts = {}
            for name, tensor in tensors.items():
                first, _, rest = name.partition(".")
                if rest:
                    parts.setdefault(first, {})[rest] = tensor
                else:
                    self.register_buffer(first, tensor)
            for name, inside in parts.items():
                self.add_module(name, Part(inside))
            self.input_resolution = 32

        def forward(self, x):
            return x

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Part(theirs.state_dict())).save(tmp_path / "ViT.pt")
    model, _ = import_checkpoint_file("openai-clip", tmp_path / "ViT.pt")
    theirs = theirs.float()
    compare_open_clip(model, theirs, 32)
    half = theirs.visual.conv1.weight
    assert torch.equal(model.state_dict()["towers.image.model.conv1.weight"], half)


def test_state_dict_in_memory_and_wrong_layout():
    theirs = open_clip_model(VIT)
    model, _ = import_checkpoint_file("openai-clip", theirs.state_dict())
    compare_open_clip(model, theirs, 32)
    with pytest.raises(CheckpointError, match="is not OpenAI's layout"):
        import_checkpoint_file("openai-clip", {"w": torch.ones(1)})


def test_open_clip_siglip(tmp_path):
    theirs = open_clip_model(SIGLIP, custom=True)
    save_file(theirs.state_dict(), tmp_path / "open_clip_model.safetensors")
    described = {"model_cfg": SIGLIP, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(described))
    model, config = import_checkpoint_file("open-clip", tmp_path, tmp_path / "out")
    tokenizer = open_clip.SimpleTokenizer(context_length=12, clean="canonicalize")
    assert compare_open_clip(model, theirs, 224, tokenizer) == config.objectives[0].scale.init
    assert named(config.objectives[0].loss).name == "siglip"
    assert config.objectives[0].bias.init == theirs.logit_bias.item()
    assert model.processor("image").preprocess.mean == (0.5, 0.5, 0.5)
    assert model.processor("image").preprocess.eval_crop == "squash"
    again, _ = saved_and_opened(tmp_path / "out", model)
    compare_open_clip(again, theirs, 224, tokenizer)


def word_tokenizer(folder, **special):
    """A small tokenizer folder as transformers saves it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = sorted({word for text in TEXTS for word in text.split()})
    vocab = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=12
    )
    fast.save_pretrained(folder)
    return fast


def test_open_clip_with_a_transformers_text_tower(tmp_path):
    hf = tmp_path / "roberta"
    tokenizer = word_tokenizer(hf)
    transformers.RobertaConfig(**PARTS, vocab_size=40, pad_token_id=0, max_position_embeddings=20).save_pretrained(hf)
    config = {
        **VIT,
        "text_cfg": {
            "hf_model_name": str(hf),
            "hf_tokenizer_name": str(hf),
            "hf_proj_type": "mlp",
            "hf_pooler_type": "mean_pooler",
            "hf_model_pretrained": False,
            "context_length": 12,
        },
    }
    theirs = open_clip_model(config, custom=True)
    model, _ = import_checkpoint_file("open-clip", theirs.state_dict(), tmp_path / "out", options={"config": config})
    ids = open_clip.tokenizer.HFTokenizer(str(hf), context_length=12)
    compare_open_clip(model, theirs, 32, ids)
    for file in hf.iterdir():  # the model folder needs nothing from outside
        file.unlink()
    again, _ = saved_and_opened(tmp_path / "out", model)
    compare_open_clip(again, theirs, 32)
    assert len(tokenizer) > 4


def compare_transformers(model, theirs, inputs, size):
    with torch.no_grad():
        text = theirs.get_text_features(**inputs)
        image = theirs.get_image_features(pixel_values=pixels(size))
    text, image = (getattr(x, "pooler_output", x) for x in (text, image))
    processor = model.processor("text")
    close(model, "text", processor.collate([processor.load(t) for t in TEXTS]), text)
    close(model, "image", {"pixels": pixels(size)}, image)


def test_transformers_clip(tmp_path):
    config = transformers.CLIPConfig(
        text_config={**PARTS, "max_position_embeddings": 12},
        vision_config={**PARTS, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    theirs = randomised(transformers.CLIPModel(config))
    theirs.save_pretrained(tmp_path / "clip")
    model, imported = import_checkpoint_file("transformers-clip", tmp_path / "clip", tmp_path / "out")
    processor = model.processor("text")
    inputs = processor.collate([processor.load(text) for text in TEXTS])
    inputs = {"input_ids": inputs["ids"], "attention_mask": inputs["mask"].long()}
    compare_transformers(model, theirs, inputs, 32)
    assert imported.objectives[0].scale.init == model_scale(theirs)
    again, _ = saved_and_opened(tmp_path / "out", model)
    compare_transformers(again, theirs, inputs, 32)
    for name, tensor in theirs.state_dict().items():
        if name != "logit_scale":
            side = "image" if name.startswith("vis") else "text"
            assert torch.equal(model.state_dict()[f"towers.{side}.model.{name}"], tensor)


def test_transformers_clip_preprocessing(tmp_path):
    config = transformers.CLIPConfig(
        text_config={**PARTS, "max_position_embeddings": 12}, vision_config={**PARTS, "image_size": 32, "patch_size": 8}
    )
    transformers.CLIPModel(config).save_pretrained(tmp_path)
    described = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}, "resample": 2}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**described, "image_mean": [0.1] * 3}))
    model, _ = import_checkpoint_file("transformers-clip", tmp_path)
    preprocess = model.processor("image").preprocess
    assert preprocess.mean == (0.1, 0.1, 0.1)
    assert preprocess.interpolation == "bilinear"
    assert preprocess.crop_pct == pytest.approx(32 / 36)


def test_transformers_siglip(tmp_path):
    folder = tmp_path / "siglip"
    tokenizer = word_tokenizer(folder)
    config = transformers.SiglipConfig(
        text_config={**PARTS, "vocab_size": 40, "max_position_embeddings": 12, "pad_token_id": 0, "eos_token_id": 2},
        vision_config={**PARTS, "image_size": 32, "patch_size": 8},
    )
    theirs = randomised(transformers.SiglipModel(config))
    with torch.no_grad():
        theirs.logit_bias.fill_(-12.5)
    theirs.save_pretrained(folder)
    inputs = tokenizer(TEXTS, padding="max_length", max_length=12, truncation=True, return_tensors="pt")
    model, imported = import_checkpoint_file("transformers-siglip", folder, tmp_path / "out")
    assert imported.objectives[0].bias.init == -12.5
    compare_transformers(model, theirs, {"input_ids": inputs.input_ids}, 32)
    again, _ = saved_and_opened(tmp_path / "out", model)
    compare_transformers(again, theirs, {"input_ids": inputs.input_ids}, 32)
    with pytest.raises(CheckpointError, match=r"is a model of type 'siglip', not 'clip'"):
        import_checkpoint_file("transformers-clip", folder)


def test_missing_and_unexpected_tensors_are_listed():
    state = open_clip_model(VIT).state_dict()
    state["visual.ln_pst.weight"] = state.pop("visual.ln_post.weight")
    state["visual.conv1.weight"] = state["visual.conv1.weight"][:, :2]
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint_file("openai-clip", state)
    text = str(caught.value)
    assert "1 of 61 tensors are missing" in text
    assert "towers.image.model.ln_post.weight (nearest: towers.image.model.ln_pst.weight)" in text
    assert "1 tensors are unexpected" in text
    assert "towers.image.model.conv1.weight: [64, 2, 8, 8] in the file, [64, 3, 8, 8] in the model" in text


def test_command(tmp_path):
    theirs = open_clip_model(VIT)
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    out = tmp_path / "out"
    arguments = ["open-clip", str(tmp_path / "w.safetensors"), str(out), "-o", f"config={json.dumps(VIT)}"]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "image (" in done.output
    assert f"scale {model_scale(theirs):.4f}" in done.output
    model, _ = open_model(out)
    compare_open_clip(model, theirs, 32)
    again = CliRunner().invoke(command, arguments)
    assert "already exists" in str(again.exception)
    nameless = CliRunner().invoke(command, [*arguments[:2], str(tmp_path / "two")])
    assert "Give --name ViT-B-32" in str(nameless.exception)
