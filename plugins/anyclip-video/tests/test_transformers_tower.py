"""`video/transformers` against the library used bare; frames chosen or repeated; what it refuses."""

from __future__ import annotations

import pytest
import torch
import transformers
from anyclip_video.transformers_tower import filled

from anyclip.errors import UserError
from anyclip.towers import create_tower

from .cases import CLIP, TRANSFORMERS, VIVIT, XCLIP

SEED = torch.Generator().manual_seed(3)
FRAMES = torch.randn(2, 4, 3, 32, 32, generator=SEED)
FULL = torch.ones(2, 4, dtype=torch.bool)


def bare(kind: str):
    values = {k: v for k, v in TRANSFORMERS[kind][1]["model"].items() if k != "model_type"}
    config = transformers.AutoConfig.for_model(kind, **values)
    if kind == "xclip":
        return transformers.XCLIPModel(config).eval()
    extra = {"add_pooling_layer": False} if kind == "vivit" else {}
    return transformers.AutoModel.from_config(config, **extra).eval()


@torch.no_grad()
@pytest.mark.parametrize("kind", ["videomae", "timesformer", "vivit"])
def test_the_librarys_numbers(kind, tmp_path):
    library = bare(kind)
    library.save_pretrained(tmp_path)
    tower = create_tower("video/transformers", model=str(tmp_path)).eval()
    assert {f"model.{name}" for name in library.state_dict()} == set(tower.state_dict())
    hidden = library(pixel_values=FRAMES).last_hidden_state
    found = tower({"frames": FRAMES, "mask": FULL}, layers=(0,))
    want = hidden.mean(dim=1) if kind == "videomae" else hidden[:, 0]
    assert torch.equal(found.pooled, want)
    assert torch.equal(found.tokens, hidden if kind == "videomae" else hidden[:, 1:])
    assert found.layers[0].shape == found.tokens.shape
    assert tower.processor.frames == 4


@torch.no_grad()
def test_xclip_is_the_librarys_video_half(tmp_path):
    library = bare("xclip")
    library.save_pretrained(tmp_path)
    tower = create_tower("video/transformers", model=str(tmp_path)).eval()
    torch.testing.assert_close(
        tower({"frames": FRAMES, "mask": FULL}).pooled, library.get_video_features(FRAMES).pooler_output
    )
    assert tower({"frames": FRAMES, "mask": FULL}).tokens.shape == (2, 4, 16)
    prompts = create_tower("video/transformers", model=str(tmp_path), prompts=True).eval()
    assert prompts({"frames": FRAMES, "mask": FULL}).tokens.shape == (2, 4, 16)  # 4 patches
    with pytest.raises(UserError, match="own transformer over frames"):
        create_tower("video/transformers", model=XCLIP, pool="mean")


def test_clips_are_chosen_or_repeated_evenly():
    frames = torch.arange(12).reshape(2, 6)
    mask = torch.tensor([[True] * 6, [True, True, False, False, False, False]])
    assert filled(frames, mask, 3).tolist() == [[0, 2, 4], [6, 6, 7]]
    assert filled(frames, mask, 6).tolist() == [[0, 1, 2, 3, 4, 5], [6, 6, 6, 7, 7, 7]]
    assert filled(frames[:1], mask[:1], 8).tolist() == [[0, 0, 1, 2, 3, 3, 4, 5]]


def test_the_number_of_frames_is_the_models():
    assert create_tower("video/transformers", model={"model_type": "videomae", **CLIP}, frames=2).frames == 2
    tower = create_tower("video/transformers", model=VIVIT)
    assert (tower.frames, tower.processor.frames) == (4, 4)
    with torch.no_grad():
        assert tower({"frames": FRAMES[:, :3], "mask": FULL[:, :3]}).pooled.shape == (2, 24)


def test_refusals():
    with pytest.raises(UserError, match=r"does not know 'vit'\. It has videomae, timesformer, vivit, xclip"):
        create_tower("video/transformers", model={"model_type": "vit"})
    with pytest.raises(UserError, match="prompts: only xclip has them"):
        create_tower("video/transformers", model={"model_type": "videomae", **CLIP}, prompts=True)
    with pytest.raises(UserError, match="no class token"):
        create_tower("video/transformers", model={"model_type": "videomae", **CLIP}, pool="cls")
    with pytest.raises(UserError, match=r"has no setting 'num_frame'. Did you mean num_frames"):
        create_tower("video/transformers", model={"model_type": "videomae", **CLIP}, config={"num_frame": 3})
