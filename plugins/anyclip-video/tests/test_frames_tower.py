"""`video/frames`: heads against plain formulas, padding, chunks, shared weights, the 3D stem, dropped frames."""

from __future__ import annotations

import pytest
import torch
from anyclip_video.heads import LSTMHead, TransformerHead
from torch import nn
from torch.nn import functional as F

from anyclip.config import config_from_dict
from anyclip.errors import UserError
from anyclip.model import build_model
from anyclip.towers import create_tower

from .cases import FRAMES, open_clip

MASK = torch.tensor([[True, True, True, False], [True, False, False, False], [True, True, True, True]])


def build(case: str, **more):
    name, options = FRAMES[case]
    torch.manual_seed(0)
    tower = create_tower(name, **{**options, **more}).eval()
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return tower


def inputs(seed: int = 0, frames: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"frames": torch.randn(3, frames, 3, 32, 32, generator=generator), "mask": MASK[:, :frames]}


@torch.no_grad()
def test_mean_of_the_frame_towers_vectors():
    tower, x = build("frames-mean"), inputs()
    for row, frames in enumerate(x["frames"]):
        alone = tower.frame({"pixels": frames[x["mask"][row]]}).pooled
        torch.testing.assert_close(tower(x).pooled[row], F.normalize(alone, dim=-1).mean(dim=0))
    plain = build("frames-mean", normalize=False)
    plain.load_state_dict(tower.state_dict())
    alone = tower.frame({"pixels": x["frames"][0, :3]}).pooled
    torch.testing.assert_close(plain(x).pooled[0], alone.mean(dim=0))


@torch.no_grad()
def test_lstm_equals_a_packed_one():
    torch.manual_seed(0)
    head, frames = LSTMHead(6), torch.randn(3, 4, 6)
    packed = nn.utils.rnn.pack_padded_sequence(frames, MASK.sum(1), batch_first=True, enforce_sorted=False)
    want, _ = nn.utils.rnn.pad_packed_sequence(head.lstm(packed)[0], batch_first=True, total_length=4)
    found = head(frames, MASK)
    torch.testing.assert_close(found[MASK], (frames + want)[MASK])
    gap = torch.tensor([[True, False, True, True]])  # a dropped frame is as if it were not there
    kept = head(frames[:1, [0, 2, 3]], torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(head(frames[:1], gap)[:, [0, 2, 3]], kept)


@torch.no_grad()
def test_transformer_does_not_see_padding_and_takes_positions():
    torch.manual_seed(0)
    head = TransformerHead(8, layers=2, heads=2, positions=5, dropout=0.0).eval()
    frames = torch.randn(3, 4, 8)
    found = head(frames, MASK)
    torch.testing.assert_close(head(frames[:1, :3], MASK[:1, :3]), found[:1, :3])
    assert not torch.allclose(head(frames.flip(1), MASK.flip(1)).flip(1)[2], found[2])
    assert torch.isfinite(head(frames, torch.zeros_like(MASK))).all()
    with pytest.raises(UserError, match="a clip has 6 frames, seqTransf 5 positions"):
        head(torch.randn(1, 6, 8), torch.ones(1, 6, dtype=torch.bool))
    with pytest.raises(UserError, match="width 8 does not divide by 3"):
        TransformerHead(8, layers=1, heads=3, positions=5, dropout=0.0)


@torch.no_grad()
def test_order_counts_with_a_head_only():
    x = {"frames": inputs()["frames"][2:], "mask": MASK[2:]}
    turned = {"frames": x["frames"].roll(2, dims=1), "mask": x["mask"]}
    mean, lstm, transformer = (build(f"frames-{kind}") for kind in ("mean", "lstm", "transformer"))
    torch.testing.assert_close(mean(turned).pooled, mean(x).pooled)
    for tower in (lstm, transformer):
        assert (tower(turned).pooled - tower(x).pooled).abs().max() > 1e-4


def test_chunks_give_the_same_values_and_gradients():
    x, found = inputs(), []
    for chunk in (None, 1, 3):
        tower = build("frames-3d", chunk=chunk)
        encoding = tower(x)
        encoding.pooled.square().sum().backward()
        found.append((encoding.pooled, encoding.tokens, *(p.grad for p in tower.parameters() if p.requires_grad)))
    for other in found[1:]:
        for one, two in zip(found[0], other):
            torch.testing.assert_close(one, two)


@torch.no_grad()
def test_the_3d_stem_begins_as_the_2d_one_and_sees_neighbours():
    torch.manual_seed(0)
    flat = create_tower("video/frames", **FRAMES["frames-mean"][1]).eval()
    deep = create_tower("video/frames", **{**FRAMES["frames-mean"][1], "stem": "3d"}).eval()
    deep.load_state_dict(flat.state_dict(), strict=False)
    deep.stem.conv.weight[:, :, 1] = flat.frame.model.conv1.weight
    x = inputs()
    torch.testing.assert_close(deep(x).pooled, flat(x).pooled)
    deep.stem.conv.weight[:, :, 0] += 0.1 * torch.randn_like(deep.stem.conv.weight[:, :, 0])
    changed = {"frames": x["frames"].clone(), "mask": x["mask"]}
    changed["frames"][2, 0] += 1
    tokens = (deep(x).tokens - deep(changed).tokens).abs().amax(-1)
    assert (tokens[2] > 1e-5).tolist() == [True, True, False, False]
    conv = deep.frame.model.conv1
    assert not conv.weight.requires_grad
    assert not conv._forward_hooks


def test_the_3d_stem_needs_patches():
    options = {**FRAMES["frames-resnet"][1], "stem": "3d"}
    with pytest.raises(UserError, match="needs a frame tower that cuts pictures into patches"):
        create_tower("video/frames", **options)


@torch.no_grad()
def test_dropped_frames_are_as_if_absent():
    tower, x = build("frames-lstm"), inputs()
    mask = torch.zeros_like(MASK)
    mask[:, 1] = True
    found = tower(x, mask=mask)
    assert found.mask.tolist() == (MASK & ~mask).tolist()
    kept = [0, 2, 3]
    short = {"frames": x["frames"][2:, kept], "mask": MASK[2:, kept]}
    torch.testing.assert_close(found.pooled[2:], tower(short).pooled)
    windows = build("frames-windows")
    several = {"frames": x["frames"][:, None], "mask": MASK[:, None], "windows": torch.ones(3, 1, dtype=torch.bool)}
    with pytest.raises(UserError, match="drops frames of a single window only"):
        windows(several, mask=mask)


@torch.no_grad()
def test_windows_are_averaged():
    tower, x = build("frames-windows"), inputs(frames=3)
    both = torch.stack([x["frames"], x["frames"].flip(0)], dim=1)
    masks = torch.stack([x["mask"], x["mask"].flip(0)], dim=1)
    there = torch.tensor([[True, True], [True, False], [True, True]])
    found = tower({"frames": both, "mask": masks, "windows": there})
    one, two = tower(x).pooled, tower({"frames": x["frames"].flip(0), "mask": x["mask"].flip(0)}).pooled
    torch.testing.assert_close(found.pooled[0], (one[0] + two[0]) / 2)
    torch.testing.assert_close(found.pooled[1], one[1])
    assert found.tokens.shape == (3, 6, 24)
    assert found.mask[1].tolist() == [True, False, False, False, False, False]


def shared_model():
    towers = {
        "image": open_clip(),
        "video": {"name": "video/frames", "options": {"frame": {"ref": "image"}, "head": "seqLSTM", "frames": 4}},
    }
    return build_model(config_from_dict({"model": {"dim": 8, "towers": towers}}).model)


def test_a_shared_frame_tower_is_one_tower(tmp_path):
    model = shared_model()
    assert model.tower("video").frame is model.tower("image")
    names = [name for name, _ in model.named_parameters()]
    assert len(names) == len(set(names))
    assert not [name for name in model.state_dict() if name.startswith("towers.video.frame.")]
    assert any(name.startswith("towers.video.head.lstm.") for name in names)
    model.features("video", model.encode("video", inputs())).square().sum().backward()
    assert model.tower("image").model.conv1.weight.grad.abs().sum() > 0
    model.save_assets(tmp_path)
    assert not (tmp_path / "video" / "frame").exists()
    other = shared_model()
    other.load_state_dict(model.state_dict())
    model.eval(), other.eval()
    with torch.no_grad():
        assert torch.equal(model.embed("video", inputs()), other.embed("video", inputs()))


def test_only_towers_of_pictures_see_frames():
    with pytest.raises(UserError, match="is no tower of pictures"):
        create_tower("video/frames", frame={"name": "toy/mlp", "options": {}})
    with pytest.raises(UserError, match="there is no stream 'imagee'"):
        create_tower("video/frames", frame={"ref": "imagee"}, refs={"image": create_tower("toy/mlp")})
