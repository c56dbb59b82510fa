"""Each tower gives the very numbers of the library used bare, and keeps its parameter names."""

from __future__ import annotations

import open_clip
import pytest
import timm
import torch
import torchvision
import transformers
from open_clip.model import CLIP, CustomTextCLIP

from anyclip.towers.create import create_tower

from .cases import CONVNEXT, clip, hf

TEXT = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}


def pixels(size: int = 32, n: int = 2) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(3))


def prefixed(state: dict, prefix: str = "model.") -> dict:
    return {prefix + name: tensor for name, tensor in state.items()}


def same(tower, state, size: int, expected) -> None:
    """Loads `state` strictly under `model.`, runs in eval mode, compares bit for bit."""
    tower.load_state_dict(prefixed(state))
    tower.eval()
    with torch.no_grad():
        assert torch.equal(tower({"pixels": pixels(size)}).pooled, expected(pixels(size)))


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (clip(), 32),
        (clip(pool_type="avg", final_ln_after_pool=True), 32),
        (clip(attentional_pool=True, attn_pooler_queries=5), 32),
        (clip(block_type="custom", qk_norm=True, ls_init_value=0.1), 32),
        ({**clip(), "quick_gelu": True}, 32),
        ({"embed_dim": 24, "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16}}, 64),
        ({"embed_dim": 24, "vision_cfg": {"timm_model_name": "test_vit", "image_size": 160}}, 160),
        (
            {"embed_dim": 24, "vision_cfg": {"timm_model_name": "test_convnext", "timm_proj": "mlp", "image_size": 64}},
            64,
        ),
        ({"embed_dim": 24, "vision_cfg": {"timm_model_name": "test_resnet", "timm_proj": "", "image_size": 64}}, 64),
    ],
    ids=["vit", "vit-avg", "coca", "custom", "quick-gelu", "resnet", "timm-vit", "timm-mlp", "timm-own-head"],
)
def test_open_clip_projected_is_encode_image(config, size):
    kind = CustomTextCLIP if "timm_model_name" in config["vision_cfg"] else CLIP
    bare = kind(**config, text_cfg=TEXT).eval()
    tower = create_tower("image/open_clip", model=config, output="projected")
    same(tower, bare.visual.state_dict(), size, bare.encode_image)
    assert tower.width == 24


def test_open_clip_by_name():
    with torch.device("meta"):
        bare = open_clip.create_model("ViT-B-32", device="meta")
    with torch.device("meta"):
        tower = create_tower("image/open_clip", model="ViT-B-32", output="projected")
    assert list(tower.state_dict()) == [f"model.{name}" for name in bare.visual.state_dict()]
    assert tower.processor.preprocess.size == (224, 224)


def test_open_clip_pooled_is_before_the_projection():
    bare = CLIP(**clip(), text_cfg=TEXT).eval().visual
    tower = create_tower("image/open_clip", model=clip()).eval()
    tower.load_state_dict(prefixed({k: v for k, v in bare.state_dict().items() if k != "proj"}))
    with torch.no_grad():
        encoding = tower(pixels())
        assert torch.equal(encoding.pooled @ bare.proj, bare(pixels()))
        bare.output_tokens = True
        assert torch.equal(encoding.tokens, bare(pixels())[1])
    assert encoding.pooled.shape[1] == 32


@pytest.mark.parametrize(
    "name",
    [
        "test_vit",
        "test_vit3",
        "test_convnext",
        "test_efficientnet",
        "test_resnet",
        "test_nfnet",
        "test_byobnet",
        "mobilenetv3_small_050",
        "resnet10t",
    ],
)
def test_timm(name):
    bare = timm.create_model(name, num_classes=0).eval()
    tower = create_tower("image/timm", model=name)
    size = bare.default_cfg["input_size"][1]
    assert tower.processor.preprocess.size == (size, size)
    same(tower, bare.state_dict(), size, bare)


def test_timm_declares_its_preprocessing():
    tower = create_tower("image/timm", model="test_vit")
    declared = timm.data.resolve_data_config({}, model=timm.create_model("test_vit"))
    p = tower.processor.preprocess
    assert (p.mean, p.std, p.interpolation) == (declared["mean"], declared["std"], declared["interpolation"])
    assert p.crop_pct == declared["crop_pct"]


@pytest.mark.parametrize(
    "kind", ["clip_vision_model", "siglip_vision_model", "vit", "deit", "dinov2", "dinov2_with_registers"]
)
def test_transformers(kind):
    values = hf(kind)
    bare = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(**values)).eval()
    tower = create_tower("image/transformers", model=values)
    same(tower, bare.state_dict(), 32, lambda x: bare(x).pooler_output)


@pytest.mark.parametrize("kind", ["convnext", "convnextv2", "resnet"])
def test_transformers_cnn(kind):
    values = {"model_type": kind, **CONVNEXT}
    bare = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(**values)).eval()
    tower = create_tower("image/transformers", model=values)
    same(tower, bare.state_dict(), 64, lambda x: bare(x).pooler_output.flatten(1))


def test_transformers_projected():
    values = hf("clip_vision_model", projection_dim=24)
    bare = transformers.CLIPVisionModelWithProjection(transformers.AutoConfig.for_model(**values)).eval()
    tower = create_tower("image/transformers", model=values, output="projected")
    same(tower, bare.state_dict(), 32, lambda x: bare(x).image_embeds)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet", "googlenet"])
def test_torchvision(name):
    from anyclip.errors import UserError

    if name == "squeezenet":
        with pytest.raises(UserError, match="no linear layer"):
            create_tower("image/torchvision", model="squeezenet1_1")
        return
    args = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    bare = torchvision.models.get_model(name, weights=None, **args).eval()
    tower = create_tower("image/torchvision", model=name, image_size=64, args=args)
    head = bare.fc if hasattr(bare, "fc") else bare.classifier[-1]
    path = "fc" if hasattr(bare, "fc") else f"classifier.{len(bare.classifier) - 1}"
    state = {k: v for k, v in bare.state_dict().items() if not k.startswith(f"{path}.")}
    seen = []
    head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))

    def expected(x):
        bare(x)
        return seen[-1]

    same(tower, state, 64, expected)


def test_torchvision_transformer():
    with torch.device("meta"):
        tower = create_tower("image/torchvision", model="vit_b_16", image_size=32)
        bare = torchvision.models.vit_b_16(image_size=32)
    assert [f"model.{k}" for k in bare.state_dict() if not k.startswith("heads")] == list(tower.state_dict())
    assert (tower.width, tower.processor.preprocess.size) == (768, (32, 32))
    assert len(tower.layer_groups()) == 14


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit_b_32", "swin_t", "convnext_tiny", "maxvit_t", "densenet121", "mnasnet0_5"])
def test_torchvision_families(name):
    tower = create_tower("image/torchvision", model=name).eval()
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        encoding = tower(x)
    assert encoding.pooled.shape == (1, tower.width)
    assert encoding.tokens is None or encoding.tokens.shape[2] == tower.width
    if name in ("vit_b_32", "swin_t", "convnext_tiny", "densenet121"):
        assert encoding.tokens.shape[1] == 49
