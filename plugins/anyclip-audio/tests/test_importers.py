"""Small checkpoints of every layout through `anyclip import`; what is damaged or of another layout is named.

The numbers of the published systems are compared in test_parity.py.
"""

from __future__ import annotations

import math

import pytest
import torch
import transformers
from torch.nn import functional as F

from anyclip.checkpoint import open_model
from anyclip.checkpoint.importing import import_checkpoint_file
from anyclip.errors import CheckpointError, UserError
from anyclip.towers.create import create_tower

from .conftest import clip

pytest.importorskip("anyclip_text")
TEXTS = ["a dog barks twice", "rain"]
SOUND = (clip(2.0), 16_000)


def noise(state, seed=0):
    """The same names and shapes with values that no constructor gives."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, value in state.items():
        if value.is_floating_point():
            value = value + 0.05 * torch.randn(value.shape, generator=generator)
            value = value.abs() + 0.5 if name.endswith("running_var") else value
        found[name] = value
    return found


def htsat(fusion=False):
    """LAION's tensors of a small HTSAT, made from the library's names backwards."""
    sizes = {"patch_embeds_hidden_size": 8, "depths": [1, 2], "num_attention_heads": [1, 2], "hidden_size": 16}
    tower = create_tower("audio/htsat", model=sizes, fusion=fusion)
    back = {
        "batch_norm.": "bn0.", ".layernorm_before.": ".norm1.", ".layernorm_after.": ".norm2.",
        ".attention.self.relative": ".attn.relative", ".attention.output.dense.": ".attn.proj.",
        ".intermediate.dense.": ".mlp.fc1.", ".output.dense.": ".mlp.fc2.",
    }  # fmt: skip
    found = {}
    state = noise({k.removeprefix("audio_encoder."): v for k, v in tower.model.state_dict().items()})
    for name, value in state.items():
        if ".attention.self.query." in name:
            parts = [state[name.replace("query", part)] for part in ("query", "key", "value")]
            found[name.replace(".attention.self.query.", ".attn.qkv.")] = torch.cat(parts)
        elif not any(part in name for part in (".self.key.", ".self.value.")):
            for old, new in back.items():
                name = name.replace(old, new)
            found[name] = value
    found |= {"tscam_conv.bias": torch.zeros(3), "head.bias": torch.zeros(3), "logmel_extractor.melW": torch.zeros(2)}
    return {**found, "layers.0.blocks.0.attn_mask": torch.zeros(1)}


def encoder(kind="roberta"):
    """A small RoBERTa or BERT."""
    cls, config = {
        "roberta": (transformers.RobertaModel, transformers.RobertaConfig),
        "bert": (transformers.BertModel, transformers.BertConfig),
    }[kind]
    sizes = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 32}
    types = {"roberta": {"type_vocab_size": 1, "layer_norm_eps": 1e-5}, "bert": {}}[kind]
    torch.manual_seed(1)
    return cls(config(**sizes, vocab_size=300, max_position_embeddings=140, **types)).eval()


def put(state, prefix):
    return {prefix + name: value for name, value in state.items()}


def mlp(width, dim, prefix):
    torch.manual_seed(len(prefix))
    layers = torch.nn.Sequential(torch.nn.Linear(width, dim), torch.nn.ReLU(), torch.nn.Linear(dim, dim))
    return put(layers.state_dict(), prefix)


def laion(fusion=False, text="roberta"):
    return {
        "logit_scale_a": torch.tensor(2.5),
        "logit_scale_t": torch.tensor(2.6),
        **put(htsat(fusion), "audio_branch."),
        **mlp(16, 24, "audio_projection."),
        **put(encoder(text).state_dict(), "text_branch."),
        **mlp(64, 24, "text_projection."),
        "text_branch.embeddings.position_ids": torch.arange(140)[None],
        "audio_transform.sequential.0.weight": torch.zeros(24, 24),
    }


def both(model):
    """Embeddings of a sound and of texts, finite and of unit length."""
    found = {}
    for stream, values in (("audio", [SOUND]), ("text", TEXTS)):
        processor = model.processor(stream)
        with torch.no_grad():
            found[stream] = model.embed(stream, processor.collate([processor.load(value) for value in values]))
        torch.testing.assert_close(found[stream].norm(dim=-1), torch.ones(len(values)))
    return found


def imported(layout, state, folder, **options):
    """Imported from a .pt, written, opened again: the same vectors."""
    torch.save(state, folder / "published.pt")
    model, config = import_checkpoint_file(layout, folder / "published.pt", folder / "out", options=options)
    again, _ = open_model(folder / "out")
    for stream, vectors in both(model).items() if "text" in config.model.towers else ():
        assert torch.equal(vectors, both(again)[stream])
    return again, config


@pytest.mark.parametrize(
    ("fusion", "text"), [(False, "roberta"), ("aff", "bert"), ("iaff", "roberta"), ("daf", "bert")]
)
def test_laion_clap(tmp_path, fusion, text):
    state = laion(fusion, text)
    if fusion == "iaff":  # the published code has a module that it never calls
        state["audio_branch.patch_embed.fusion_model.global_att2.1.weight"] = torch.zeros(2, 8, 1, 1)
    model, config = imported("laion-clap", {"state_dict": put(state, "module.")}, tmp_path, tokenizer="bytes")
    assert config.objectives[0].scale.init == pytest.approx(math.exp(2.5))
    options = config.model.towers["audio"].options
    assert options.get("fusion", False) == fusion
    assert model.processor("audio").front.quantise
    own = model.state_dict()
    query = own["towers.audio.model.audio_encoder.layers.1.blocks.1.attention.self.key.weight"]
    assert torch.equal(query, state["audio_branch.layers.1.blocks.1.attn.qkv.weight"][16:32])
    assert torch.equal(own["projections.audio.out.bias"], state["audio_projection.2.bias"])
    ids = {"input_ids": torch.tensor([[5, 6, 7, 8]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}
    with torch.no_grad():
        hidden = encoder(text)(**ids).pooler_output
        hidden = F.relu(F.linear(hidden, state["text_projection.0.weight"], state["text_projection.0.bias"]))
        want = F.linear(hidden, state["text_projection.2.weight"], state["text_projection.2.bias"])
        found = model.embed("text", {"ids": ids["input_ids"], "mask": ids["attention_mask"].bool()})
    torch.testing.assert_close(found, F.normalize(want, dim=-1), atol=2e-6, rtol=1e-4)


def test_damage_is_listed(tmp_path):
    state = laion()
    state["audio_branch.norm.wieght"] = state.pop("audio_branch.norm.weight")
    state["something.new"] = torch.ones(1)
    state["text_projection.2.bias"] = torch.ones(5)
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint_file("laion-clap", state, tmp_path / "out", options={"tokenizer": "bytes"})
    text = str(caught.value)
    assert "1 of 79 tensors are missing" in text or "tensors are missing" in text
    assert (
        "towers.audio.model.audio_encoder.norm.weight (nearest: towers.audio.model.audio_encoder.norm.wieght)" in text
    )
    assert "2 tensors are unexpected" in text
    assert "something.new" in text
    assert "projections.text.out.bias: [5] in the file, [24] in the model" in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("layout", ["laion-clap", "msclap", "audioclip", "wav2clip"])
def test_another_layout_is_named(layout, tmp_path):
    torch.save({"state_dict": {"encoder.weight": torch.ones(2)}}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="is not the layout of") as caught:
        import_checkpoint_file(layout, tmp_path / "other.pt")
    assert "other.pt" in str(caught.value)


def test_fusion_that_is_not_supported_is_named():
    state = {**laion(), "audio_branch.mel_conv1d.0.weight": torch.ones(1)}
    with pytest.raises(CheckpointError, match="mixes spectrograms"):
        import_checkpoint_file("laion-clap", state, options={"tokenizer": "bytes"})


def msclap_gpt2():
    torch.manual_seed(2)
    config = transformers.GPT2Config(vocab_size=300, n_embd=64, n_layer=1, n_head=1, n_positions=80)
    texts = transformers.GPT2Model(config).state_dict()
    return {
        "logit_scale": torch.tensor(3.0),
        **put(htsat(), "audio_encoder.base.htsat."),
        **put(projection(16, 12), "audio_encoder.projection."),
        **put(texts, "caption_encoder.base."),
        **put(projection(64, 12), "caption_encoder.projection."),
        "caption_encoder.base.h.0.attn.bias": torch.ones(1, 1, 80, 80),
    }


def projection(width, dim):
    generator = torch.Generator().manual_seed(width)
    sizes = {"linear1.weight": (dim, width), "linear2.weight": (dim, dim), "layer_norm.weight": (dim,)}
    return {k: torch.randn(s, generator=generator) for k, s in {**sizes, "layer_norm.bias": (dim,)}.items()}


def test_msclap_2023_ends_its_texts(tmp_path):
    """`text <|endoftext|>`: a space and the end-of-text token; "!" with the id 0 fills."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = ["!", "Ġ", *"abcdefghijklmnopqrstuvwxyz", "<|endoftext|>"]
    bpe = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    end = {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    transformers.GPT2TokenizerFast(tokenizer_object=bpe, **end).save_pretrained(tmp_path / "gpt2")
    model, config = imported("msclap", {"model": msclap_gpt2()}, tmp_path, tokenizer=str(tmp_path / "gpt2"))
    processor = model.processor("text")
    inputs = processor.collate([processor.load("a cat"), processor.load("b" * 200)])
    ids = [letters[i] for i in inputs["ids"][0].tolist()]
    assert ids[:7] == ["a", "Ġ", "c", "a", "t", "Ġ", "<|endoftext|>"]
    assert set(ids[7:]) == {"!"}
    assert inputs["mask"][0].sum() == 7
    assert inputs["ids"].shape == (2, 77)
    assert letters[inputs["ids"][1, -1]] == "<|endoftext|>"
    front = model.processor("audio").front
    assert (front.sample_rate, front.seconds, front.mel_rate, front.short) == (44_100, 7.0, 32_000, "repeat")
    assert config.objectives[0].scale.init == pytest.approx(math.exp(3.0))


def test_msclap_refuses_another_tokenizer(tmp_path):
    from tokenizers import Tokenizer, models

    words = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(tmp_path)
    with pytest.raises(UserError, match="no tokenizer of GPT-2"):
        import_checkpoint_file("msclap", msclap_gpt2(), options={"tokenizer": str(tmp_path)})


def test_msclap_damage():
    state = msclap_gpt2()
    state["caption_encoder.projection.linear3.weight"] = state.pop("caption_encoder.projection.linear2.weight")
    state["caption_encoder.extra.weight"] = torch.ones(1)
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint_file("msclap", state, options={"tokenizer": "bytes"})
    for name in ("projections.text.second.weight", "projections.text.linear3.weight", "caption_encoder.extra.weight"):
        assert name in str(caught.value)
