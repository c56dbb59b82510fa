"""Local weights and model folders; what is wrong is said; nothing reaches a hub."""

from __future__ import annotations

import json

import open_clip
import pytest
import timm
import torch
import torchvision
import transformers
from open_clip.model import CLIP
from safetensors.torch import save_file

from anyclip.errors import CheckpointError, UserError
from anyclip.towers.create import create_tower

from .cases import HF, clip, hf
from .test_parity import TEXT, pixels, same


def save(model, path):
    save_file({k: v.clone() for k, v in model.state_dict().items()}, path)
    return str(path)


def pooled(tower, size: int = 32):
    tower.eval()
    with torch.no_grad():
        return tower({"pixels": pixels(size)}).pooled


def test_open_clip_file_and_folder(tmp_path):
    bare = CLIP(**clip(), text_cfg=TEXT).eval()
    file = save(bare, tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps(
            {
                "model_cfg": {**clip(), "text_cfg": TEXT},
                "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3, "resize_mode": "squash"},
            }
        )
    )
    with torch.no_grad():
        expected = bare.encode_image(pixels())
    options = {"model": clip(), "output": "projected"}
    assert torch.equal(pooled(create_tower("image/open_clip", pretrained=file, **options)), expected)
    visual = save(bare.visual, tmp_path.parent / "visual_only.safetensors")
    assert torch.equal(pooled(create_tower("image/open_clip", pretrained=visual, **options)), expected)
    folder = create_tower("image/open_clip", model=f"local-dir:{tmp_path}", pretrained=True, output="projected")
    assert torch.equal(pooled(folder), expected)
    p = folder.processor.preprocess
    assert (p.mean, p.std, p.eval_crop) == ((0.5,) * 3, (0.25,) * 3, "squash")
    random = create_tower("image/open_clip", pretrained=file, load_weights=False, **options)
    assert not torch.equal(pooled(random), expected)


def test_open_clip_weights_are_resized_to_another_image_size(tmp_path):
    bare = CLIP(**clip(), text_cfg=TEXT)
    file = save(bare, tmp_path / "w.safetensors")
    tower = create_tower("image/open_clip", model=clip(), pretrained=file, image_size=48)
    assert tower.model.positional_embedding.shape == (37, 32)
    assert torch.equal(tower.model.positional_embedding[0], bare.visual.positional_embedding[0])


def test_weights_that_do_not_fit_are_listed(tmp_path):
    bare = CLIP(**clip(), text_cfg=TEXT)
    file = save(bare, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"12 missing: transformer.resblocks.2"):
        create_tower("image/open_clip", model=clip(layers=3), pretrained=file)
    with pytest.raises(CheckpointError, match=r"of another shape: class_embedding \(32,\), not \(64,\)"):
        create_tower("image/open_clip", model=clip(width=64), pretrained=file)


def test_openai_tags_bring_their_activation_and_preprocessing():
    from anyclip_image.open_clip_tower import _describe
    from anyclip_image.options import OpenClipOptions

    config, _ = _describe(OpenClipOptions(model="ViT-B-32", pretrained="openai"))
    assert config["quick_gelu"] is True
    assert _describe(OpenClipOptions(model="ViT-B-32"))[0]["quick_gelu"] is False
    _, declared = _describe(OpenClipOptions(model="ViT-B-16-SigLIP", pretrained="webli"))
    assert (declared.mean, declared.eval_crop) == ((0.5, 0.5, 0.5), "squash")


def test_timm_file(tmp_path):
    bare = timm.create_model("test_vit", num_classes=10).eval()
    file = save(bare, tmp_path / "w.safetensors")
    tower = create_tower("image/timm", model="test_vit", pretrained=file)
    bare.reset_classifier(0)
    assert torch.equal(pooled(tower, 160), bare(pixels(160)))
    resized = create_tower("image/timm", model="test_vit", pretrained=file, image_size=64)
    assert resized.model.pos_embed.shape[1] == 17


def test_timm_folder(tmp_path):
    bare = timm.create_model("test_vit", num_classes=10, img_size=96, depth=2).eval()
    save(bare, tmp_path / "model.safetensors")
    declared = {"mean": [0.1] * 3, "std": [0.2] * 3, "input_size": [3, 96, 96], "num_classes": 10}
    config = {"architecture": "test_vit", "num_classes": 10, "pretrained_cfg": {**bare.pretrained_cfg, **declared}}
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_args": {"img_size": 96, "depth": 2}}))
    tower = create_tower("image/timm", model=f"local-dir:{tmp_path}", pretrained=True)
    bare.reset_classifier(0)
    with torch.no_grad():
        expected = bare(pixels(96))
    assert torch.equal(pooled(tower, 96), expected)
    assert tower.processor.preprocess.mean == (0.1,) * 3
    tower.save_assets(tmp_path / "assets")
    gone = create_tower("image/timm", model="local-dir:gone", assets=tmp_path / "assets")
    gone.load_state_dict(tower.state_dict())
    assert torch.equal(pooled(gone, 96), expected)
    assert gone.processor.key() == tower.processor.key()


def test_transformers_folder(tmp_path):
    config = transformers.CLIPConfig(
        text_config={**{k: v for k, v in HF.items() if k not in ("image_size", "patch_size")}, "vocab_size": 50},
        vision_config=HF,
        projection_dim=24,
    )
    bare = transformers.CLIPModel(config).eval()
    bare.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.1] * 3, "image_std": [0.2] * 3, "resample": 2, "size": {"shortest_edge": 40},
                    "crop_size": {"height": 32, "width": 32}, "do_center_crop": True})
    )  # fmt: skip
    tower = create_tower("image/transformers", model=str(tmp_path))
    with torch.no_grad():
        expected = bare.vision_model(pixels()).pooler_output
    assert torch.equal(pooled(tower), expected)
    p = tower.processor.preprocess
    assert (p.size, p.mean, p.interpolation, p.eval_crop, p.crop_pct) == (
        (32, 32), (0.1,) * 3, "bilinear", "center", 0.8
    )  # fmt: skip
    # a run of it needs the folder no more
    assets = tmp_path / "assets"
    tower.save_assets(assets)
    gone = create_tower("image/transformers", model=str(tmp_path / "gone"), assets=assets)
    gone.load_state_dict(tower.state_dict())
    assert torch.equal(pooled(gone), expected)
    assert gone.processor.key() == tower.processor.key()
    other = create_tower("image/transformers", model=str(tmp_path), image_size=48)
    assert other.eval()({"pixels": pixels(48)}).tokens.shape == (2, 36, 32)
    assert not torch.equal(pooled(create_tower("image/transformers", model=str(tmp_path), pretrained=False)), expected)


def test_transformers_vit_without_its_pooler(tmp_path):
    bare = transformers.ViTModel(transformers.ViTConfig(**HF), add_pooling_layer=False).eval()
    bare.save_pretrained(tmp_path / "vit")
    tower = create_tower("image/transformers", model=str(tmp_path / "vit"))
    same(tower, bare.state_dict(), 32, lambda x: bare(x).last_hidden_state[:, 0])
    tower.save_assets(tmp_path)
    again = create_tower("image/transformers", model="gone", assets=tmp_path)
    again.load_state_dict(tower.state_dict())


def test_transformers_lacking_tensors_are_listed(tmp_path):
    transformers.ViTModel(transformers.ViTConfig(**HF)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(CheckpointError, match=r"lacks tensors of the vision model: layers\.2"):
        create_tower("image/transformers", model=str(tmp_path))


def test_torchvision_file(tmp_path):
    bare = torchvision.models.resnet18().eval()
    file = save(bare, tmp_path / "w.safetensors")
    tower = create_tower("image/torchvision", model="resnet18", pretrained=file, image_size=64)
    bare.fc = torch.nn.Identity()
    assert torch.equal(pooled(tower, 64), bare(pixels(64)))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("open_clip", {"model": "VIT-B32"}, "open_clip has no 'VIT-B32'. Did you mean ViT-B-32"),
        ("open_clip", {"model": "ViT-B-32", "pretrained": "laion2b_s34b_b79"}, "Did you mean laion2b_s34b_b79k"),
        ("open_clip", {"model": {"vision_cfg": {}}}, "missing 'embed_dim'"),
        ("open_clip", {"model": clip(widht=3)}, "unknown vision_cfg key 'widht'. Did you mean width"),
        ("open_clip", {"model": clip(), "pretrained": "no.pt"}, "'no.pt' is neither a file"),
        ("open_clip", {"model": "local-dir:nowhere"}, "the config of local-dir:nowhere cannot be read"),
        ("open_clip", {"model": "RN50", "pool": "mean"}, "its own attention pooling"),
        ("timm", {"model": "resnet19"}, "timm has no 'resnet19'. Did you mean resnet18"),
        ("timm", {"model": "test_vit", "pretrained": "no.pt"}, "there is no file no.pt"),
        ("timm", {"model": "test_resnet", "args": {"widht": 3}}, "test_resnet refuses them"),
        ("timm", {"model": "local-dir:nowhere"}, "local-dir:nowhere cannot be read: Config file not found"),
        ("transformers", {"model": "no/such-model"}, "'no/such-model' cannot be read"),
        ("transformers", {"model": {"hidden_size": 3}}, "needs model_type"),
        ("transformers", {"model": {"model_type": "vitt"}}, "no model_type 'vitt'. Did you mean"),
        ("transformers", {"model": {"model_type": "vit", "hiden_size": 3}}, "Did you mean hidden_size"),
        ("transformers", {"model": hf("vit"), "config": {"droput": 1}}, "vit has no setting 'droput'"),
        ("transformers", {"model": hf("vit"), "output": "projected"}, "projected needs a CLIP vision model"),
        ("transformers", {"model": {"model_type": "bert"}}, "'bert' is not an encoder of plain pixels"),
        ("transformers", {"model": {"model_type": "siglip2_vision_model"}}, "also asks for pixel_attention_mask"),
        ("torchvision", {"model": "resnet17"}, "torchvision has no 'resnet17'. Did you mean resnet18"),
        ("torchvision", {"model": "resnet18", "args": {"depth": 3}}, "resnet18 refuses them"),
        ("torchvision", {"model": "resnet18", "pretrained": "IMAGENET2"}, "neither a file nor weights of resnet18"),
    ],
)
def test_mistakes_say_what_is_valid(name, options, message):
    with pytest.raises(UserError, match=message):
        create_tower(f"image/{name}", **options)


def test_hub_weights_offline_are_a_user_error():
    with pytest.raises(UserError, match="cannot be fetched"):
        create_tower("image/open_clip", model="ViT-B-32", pretrained="laion2b_s34b_b79k")
    with pytest.raises(UserError, match="cannot be loaded"):
        create_tower("image/timm", model="test_vit", pretrained=True)


def test_assets_of_another_library_are_refused(tmp_path):
    create_tower("image/open_clip", model=clip()).save_assets(tmp_path)
    with pytest.raises(CheckpointError, match="holds a open_clip tower, the config asks for timm"):
        create_tower("image/timm", model="test_vit", assets=tmp_path)
    (tmp_path / "image_tower.json").write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        create_tower("image/open_clip", model=clip(), assets=tmp_path)


@pytest.mark.slow
def test_every_model_name_of_open_clip_describes_itself():
    from anyclip_image.open_clip_tower import _describe
    from anyclip_image.options import OpenClipOptions

    for name in open_clip.list_models():
        config, preprocess = _describe(OpenClipOptions(model=name))
        assert config["embed_dim"] > 0
        assert min(preprocess.size) > 0
