"""Importers of AudioCLIP, Wav2CLIP, CLAP of transformers and of open_clip, on small checkpoints."""

from __future__ import annotations

import json
import math

import pytest
import torch
import transformers
from click.testing import CliRunner
from safetensors.torch import save_file
from torch.nn import functional as F

from anyclip.checkpoint import open_model
from anyclip.checkpoint.importing import import_checkpoint_file
from anyclip.cli.import_ import command
from anyclip.config import named
from anyclip.errors import CheckpointError, UserError
from anyclip.towers.create import create_tower

from .test_importers import SOUND, both, encoder, htsat, imported, mlp, noise, put

TEXT_CFG = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
VISION = {"image_size": 32, "patch_size": 16, "width": 64, "layers": 1, "head_width": 64}


def openai(dim, vision=VISION):
    """OpenAI's tensors of a small CLIP."""
    open_clip = pytest.importorskip("open_clip")
    torch.manual_seed(3)
    return dict(open_clip.model.CLIP(dim, dict(vision), dict(TEXT_CFG), quick_gelu=True).state_dict())


def test_audioclip(tmp_path):
    pytest.importorskip("anyclip_image")
    sounds = create_tower("audio/esresnext", layers=[1, 1, 1, 1], frame=400, points=512, output="projected", dim=24)
    state = {
        **openai(24, {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64}),
        **put(noise(sounds.model.state_dict()), "audio."),
        "audio.fbsp.bias": torch.zeros(0),
        "logit_scale": torch.tensor(-1.0),
        "logit_scale_ai": torch.tensor(math.log(20)),
        "logit_scale_at": torch.tensor(8.0),
    }
    model, config = imported("audioclip", state, tmp_path)
    assert config.pair_reduction == "factorial"
    scales = {tuple(edge.pair): edge.scale.init for edge in config.objectives}
    # clamped to 1..100 in every forward pass of the original
    assert scales == {("audio", "image"): pytest.approx(20), ("audio", "text"): 100.0, ("image", "text"): 1.0}
    assert named(config.objectives[0].loss).options == {"direction_reduction": "sum"}
    assert torch.equal(model.state_dict()["towers.audio.model.fbsp.fc"], state["audio.fbsp.fc"])
    assert model.processor("audio").long == "active"
    del state["audio.att3.bn.weight"]
    with pytest.raises(CheckpointError, match=r"towers.audio.model.att3.bn.weight"):
        import_checkpoint_file("audioclip", state)


def wav2clip(prefix=""):
    tower = create_tower("audio/wav2clip", layers=[1, 1, 1, 1], output="projected")
    state = put(noise(tower.model.state_dict()), prefix)
    return tower, {**state, f"{prefix}encoder.spectrogram.window": torch.ones(512)}


@pytest.mark.parametrize("prefix", ["", "audio_"])
def test_wav2clip_alone(tmp_path, prefix):
    tower, state = wav2clip(prefix)
    state["image_transform.sequential.0.weight"] = torch.ones(1)
    model, config = imported("wav2clip", {"state_dict": state}, tmp_path)
    tower.model.load_state_dict(
        {k.removeprefix(prefix): v for k, v in state.items() if "spectro" not in k}, strict=False
    )
    inputs = tower.processor.collate([tower.processor.load(SOUND)])
    with torch.no_grad():
        want = F.normalize(tower.eval()(inputs).pooled, dim=-1)
        torch.testing.assert_close(model.embed("audio", inputs), want)
    assert list(config.model.towers) == ["audio"]


def test_wav2clip_with_its_clip(tmp_path):
    pytest.importorskip("anyclip_image")
    torch.save(openai(512), tmp_path / "clip.pt")
    model, config = imported("wav2clip", wav2clip()[1], tmp_path, clip=str(tmp_path / "clip.pt"))
    assert [edge.pair for edge in config.objectives] == [["image", "text"], ["audio", "image"]]
    assert {name: vectors.shape[1] for name, vectors in both(model).items()} == {"audio": 512, "text": 512}
    torch.save(openai(24), tmp_path / "small.pt")
    with pytest.raises(UserError, match="this CLIP has 24 dimensions, Wav2CLIP 512"):
        import_checkpoint_file("wav2clip", wav2clip()[1], options={"clip": str(tmp_path / "small.pt")})


def clap(fusion=False):
    audio = {"patch_embeds_hidden_size": 8, "depths": [1, 2], "num_attention_heads": [1, 2], "hidden_size": 16}
    audio |= {"enable_fusion": True, "fusion_type": "aff_2d"} if fusion else {}
    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text |= {"vocab_size": 300, "max_position_embeddings": 140}
    torch.manual_seed(4)
    config = transformers.ClapConfig(text_config=text, audio_config=audio, projection_dim=20)
    return transformers.ClapModel(config).eval()


@pytest.mark.parametrize("fusion", [False, True])
def test_transformers_clap(tmp_path, fusion):
    theirs = clap(fusion)
    theirs.save_pretrained(tmp_path / "clap")
    transformers.ClapFeatureExtractor(frequency_min=40, hop_length=500).save_pretrained(tmp_path / "clap")
    options = {"tokenizer": "bytes"}
    import_checkpoint_file("transformers-clap", tmp_path / "clap", tmp_path / "out", options=options)
    model, config = open_model(tmp_path / "out")
    front = model.processor("audio").front
    assert (front.fmin, front.hop, front.fusion, front.quantise) == (40.0, 500, fusion, False)
    ids = torch.tensor([[0, 9, 8, 2]])
    with torch.no_grad():
        text = theirs.get_text_features(input_ids=ids)
        text = getattr(text, "pooler_output", text)
        found = model.embed("text", {"ids": ids, "mask": torch.ones_like(ids, dtype=torch.bool)})
        torch.testing.assert_close(found, F.normalize(text, dim=-1), atol=2e-6, rtol=1e-4)
        inputs = model.processor("audio").collate([model.processor("audio").load(SOUND)])
        audio = theirs.get_audio_features(input_features=inputs["x"], is_longer=inputs.get("longer"))
        audio = getattr(audio, "pooler_output", audio)
        torch.testing.assert_close(model.embed("audio", inputs), F.normalize(audio, dim=-1), atol=2e-6, rtol=1e-4)
    assert config.objectives[0].scale.init == pytest.approx(1 / 0.07)


def test_transformers_clap_mistakes(tmp_path):
    state = clap().state_dict()
    with pytest.raises(CheckpointError, match=r"no config\.json lies beside it"):
        import_checkpoint_file("transformers-clap", state)
    with pytest.raises(CheckpointError, match="is a model of type 'clip', not 'clap'"):
        import_checkpoint_file("transformers-clap", state, options={"config": {"model_type": "clip"}})
    config = clap().config.to_dict()
    name = "audio_model.audio_encoder.layers.1.blocks.0.attention.self.query.weight"
    broken = {key: value for key, value in state.items() if key != name}
    with pytest.raises(CheckpointError, match=f"towers.audio.model.{name}"):
        import_checkpoint_file("transformers-clap", broken, options={"config": config, "tokenizer": "bytes"})
    tables = ("position_ids", "token_type_ids", "relative_position_index")  # some versions of the library save these
    lean = {key: value for key, value in state.items() if not key.endswith(tables)}
    options = {"config": config, "tokenizer": "bytes"}
    whole, _ = import_checkpoint_file("transformers-clap", state, options=options)
    model, _ = import_checkpoint_file("transformers-clap", lean, options=options)
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in whole.state_dict().items())


def open_clip_clap(pooler="cls_pooler", kind="clap_mlp"):
    """A checkpoint of open_clip 4.2's CLAP and its config."""
    text = encoder().state_dict()
    if pooler != "cls_pooler":
        text = {key: value for key, value in text.items() if not key.startswith("pooler.")}
    layers = mlp(64, 24, "text.proj.")
    if kind == "mlp":
        layers = {"text.proj.0.weight": torch.randn(40, 64), "text.proj.2.weight": torch.randn(24, 40)}
    state = {
        "logit_scale": torch.tensor(2.0),
        **put(htsat(), "audio.encoder."),
        **mlp(16, 24, "audio.proj."),
        **put(text, "text.transformer."),
        **layers,
    }
    names = {"hf_model_name": "roberta-base", "hf_pooler_type": pooler, "hf_proj_type": kind}
    return state, {"embed_dim": 24, "audio_cfg": {"model_type": "HTSAT"}, "text_cfg": names}


@pytest.mark.parametrize(
    ("pooler", "kind", "audio"),
    [
        ("cls_pooler", "clap_mlp", {"proj_act": "relu"}),
        ("mean_pooler", "mlp", {"pre_norm": True, "clip_samples": 240_000, "fmin": 30}),
    ],
)
def test_open_clip_clap(tmp_path, pooler, kind, audio):
    state, config = open_clip_clap(pooler, kind)
    config["audio_cfg"] |= audio
    model, _ = imported("open-clip-clap", {"state_dict": state}, tmp_path, tokenizer="bytes", config=config)
    ids = torch.tensor([[0, 9, 8, 7, 2]])
    with torch.no_grad():
        output = encoder()(input_ids=ids)
        hidden = output.pooler_output if pooler == "cls_pooler" else output.last_hidden_state.mean(dim=1)
        bias = (state.get("text.proj.0.bias"), state.get("text.proj.2.bias"))
        act = F.relu if kind == "clap_mlp" else F.gelu
        want = F.linear(
            act(F.linear(hidden, state["text.proj.0.weight"], bias[0])), state["text.proj.2.weight"], bias[1]
        )
        found = model.embed("text", {"ids": ids, "mask": torch.ones_like(ids, dtype=torch.bool)})
        torch.testing.assert_close(found, F.normalize(want, dim=-1), atol=2e-6, rtol=1e-4)
        pooled = torch.randn(3, 16)
        start = F.normalize(pooled, dim=-1) if audio.get("pre_norm") else pooled
        act = F.relu if audio.get("proj_act") == "relu" else F.gelu
        hidden = act(F.linear(start, state["audio.proj.0.weight"], state["audio.proj.0.bias"]))
        want = F.linear(hidden, state["audio.proj.2.weight"], state["audio.proj.2.bias"])
        torch.testing.assert_close(model.projection("audio")(pooled), want)
    front = model.processor("audio").front
    assert front.seconds == audio.get("clip_samples", 480_000) / 48_000
    assert front.fmin == audio.get("fmin", 50)


def test_open_clip_clap_with_whisper(tmp_path):
    """The numbers of this tower are those of test_parity.py; here they come back from the written folder."""
    reference = create_tower(
        "audio/transformers",
        model={"model_type": "qwen2_audio_encoder", "d_model": 64, "encoder_layers": 1, "encoder_attention_heads": 1,
               "encoder_ffn_dim": 96, "num_mel_bins": 80, "max_source_positions": 1500},
        output="projected", dim=24, mel_scale="htk",
    ).eval()  # fmt: skip
    own = noise(reference.state_dict())
    reference.load_state_dict(own)
    back = {
        "model.embed_positions.weight": "positional_embedding", "model.layers.": "blocks.", "projection.": "proj.",
        "model.layer_norm.": "ln_post.", "model.": "",
    }  # fmt: skip
    inner = {
        ".self_attn.q_proj.": ".attn.query.", ".self_attn.k_proj.": ".attn.key.", ".self_attn.v_proj.": ".attn.value.",
        ".self_attn.out_proj.": ".attn.out.", ".self_attn_layer_norm.": ".attn_ln.", ".fc1.": ".mlp.0.",
        ".fc2.": ".mlp.2.", ".final_layer_norm.": ".mlp_ln.",
    }  # fmt: skip
    encoder_state = {"audio_bos_eos_token.weight": torch.zeros(2, 24)}
    for name, value in own.items():
        start = next(old for old in back if name.startswith(old))
        new = back[start] + name[len(start) :]
        for old, published in inner.items():
            new = new.replace(old, published)
        encoder_state[new] = value
    state, config = open_clip_clap()
    state = {key: value for key, value in state.items() if not key.startswith(("audio.encoder.", "audio.proj."))}
    state |= {**put(encoder_state, "audio.encoder."), **mlp(24, 24, "audio.proj.")}
    config["audio_cfg"] = {"model_type": "whisper", "model_name": "tiny", "proj_act": "gelu"}
    model, _ = imported("open-clip-clap", {"state_dict": state}, tmp_path, tokenizer="bytes", config=config)
    inputs = reference.processor.collate([reference.processor.load(SOUND)])
    with torch.no_grad():
        assert torch.equal(model.encode("audio", inputs).pooled, reference(inputs).pooled)


def test_open_clip_clap_mistakes():
    state, config = open_clip_clap()
    with pytest.raises(CheckpointError, match="do not tell the model: embed_dim, audio_cfg, text_cfg not given"):
        import_checkpoint_file("open-clip-clap", state)
    with pytest.raises(CheckpointError, match="has no model 'nothing-like-it'"):
        import_checkpoint_file("open-clip-clap", state, name="nothing-like-it")
    for audio, message in (({"model_type": "naflexvit"}, "audio tower of type 'naflexvit'"),
                           ({"training_head": True}, "projects only in training")):  # fmt: skip
        with pytest.raises(CheckpointError, match=message):
            import_checkpoint_file("open-clip-clap", state, options={"config": {**config, "audio_cfg": audio}})
    with pytest.raises(CheckpointError, match="a text tower that is not imported"):
        import_checkpoint_file("open-clip-clap", state, options={"config": {**config, "text_cfg": {"width": 64}}})


def test_command(tmp_path):
    state, config = open_clip_clap()
    (tmp_path / "open").mkdir()
    save_file(state, tmp_path / "open" / "open_clip_model.safetensors")
    (tmp_path / "open" / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    out = tmp_path / "model"
    done = CliRunner().invoke(
        command, ["open-clip-clap", str(tmp_path / "open"), str(out), "-o", "tokenizer=bytes"], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert "audio (" in done.output
    both(open_model(out)[0])
