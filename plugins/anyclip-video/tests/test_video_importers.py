"""Importers: every layout into a folder and back, models that start from CLIP, what they refuse.

That the numbers are the published ones is compared by tests/parity_video*.py, through the same importers.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
import transformers
from anyclip_video.importers.clip4clip import started

from anyclip.checkpoint import open_model, open_similarities
from anyclip.checkpoint.importing import import_checkpoint_file
from anyclip.errors import CheckpointError

from .cases import TRANSFORMERS
from .conftest import SHARED

TOP = Path(__file__).resolve().parents[3] / "tests"
REFERENCE = SHARED / "reference" / "video"
FILES = sorted(path.stem for path in REFERENCE.glob("*.json"))
VISION = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 1, "head_width": 64}
TEXT = {"context_length": 12, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}


def clip() -> dict[str, torch.Tensor]:
    """The state of a small OpenAI CLIP."""
    from open_clip.model import CLIP

    torch.manual_seed(0)
    return CLIP(64, dict(VISION), dict(TEXT), quick_gelu=True).state_dict()


def opened(folder: Path):
    model, config = open_model(folder)
    return model, config, open_similarities(folder, model, config)


@pytest.mark.parametrize("head", ["meanP", "seqLSTM", "seqTransf", "tightTransf"])
def test_a_start_from_clip_and_the_way_back(head, tmp_path):
    state = clip()
    options = {"head": head, "layers": 2, "stem": "3d" if head == "meanP" else None, "frames": 4, "words": 8}
    model, _ = import_checkpoint_file("clip4clip", state, tmp_path / "start", options=options)
    again, config, similarities = opened(tmp_path / "start")
    own, other = model.state_dict(), again.state_dict()
    assert list(own) == list(other)
    assert all(torch.equal(own[name], other[name]) for name in own)
    video = again.tower("video")
    assert (video.processor.frames, again.processor("text").context_length) == (4, 8)
    assert torch.equal(video.frame.model.conv1.weight, state["visual.conv1.weight"])
    if head == "seqTransf":
        first = state["transformer.resblocks.0.mlp.c_fc.weight"]
        assert torch.equal(video.head.blocks[0].mlp.c_fc.weight, first)
        assert torch.equal(video.head.positions.weight, state["positional_embedding"])
    if head == "meanP":
        assert torch.equal(video.stem.conv.weight[:, :, 1], state["visual.conv1.weight"])
        assert not video.stem.conv.weight[:, :, 0].any()
    if head != "tightTransf":
        assert similarities == {}
        return
    tight = similarities["text", "video"]
    assert torch.equal(tight.blocks[1].ln_1.weight, state["transformer.resblocks.1.ln_1.weight"])
    assert config.objectives[0].scale.learn is False


def test_a_trained_checkpoint_tells_its_head(tmp_path):
    state = started(clip(), "seqLSTM", 4, "2d", "here")
    state["frame_position_embeddings.weight"] = torch.zeros(12, 64)  # there, and not used
    torch.save({f"module.{name}": tensor.half() for name, tensor in state.items()}, tmp_path / "pytorch_model.bin.4")
    model, config = import_checkpoint_file("clip4clip", tmp_path / "pytorch_model.bin.4")
    assert config.model.towers["video"].options["head"] == "seqLSTM"
    assert torch.equal(model.tower("video").head.lstm.weight_hh_l0.half(), state["lstm_visual.weight_hh_l0"].half())
    with pytest.raises(CheckpointError, match="its head is seqLSTM, not meanP"):
        import_checkpoint_file("clip4clip", state, options={"head": "meanP"})


def test_xclip_keeps_its_matrices(tmp_path):
    state = started(clip(), "seqTransf", 1, "2d", "here")
    sizes = {"global_mat_weight": 64, "local_mat_weight": 64}
    sizes |= dict.fromkeys(("word_logit_weight", "word_mat_weight", "word_mat_weight2"), 7)
    sizes |= dict.fromkeys(("frame_logit_weight", "frame_mat_weight", "frame_mat_weight2"), 5)
    state |= {name: torch.eye(n) + 0.1 * torch.randn(n, n) for name, n in sizes.items()}
    import_checkpoint_file("xclip", state, tmp_path / "out")
    model, config, similarities = opened(tmp_path / "out")
    found = similarities["text", "video"]
    assert torch.equal(found.frames_outer, state["frame_mat_weight2"])
    assert torch.equal(found.whole, state["global_mat_weight"])
    assert (model.processor("text").context_length, model.tower("video").processor.frames) == (7, 5)
    assert config.objectives[0].similarity.options["video"] == "features"
    del state["word_mat_weight2"]
    with pytest.raises(CheckpointError, match=r"is not X-CLIP's layout: it lacks word_mat_weight2\. clip4clip reads"):
        import_checkpoint_file("xclip", state)


@pytest.mark.parametrize("kind", ["videomae", "timesformer", "vivit"])
def test_one_tower_of_a_classifier(kind, tmp_path):
    values = {k: v for k, v in TRANSFORMERS[kind][1]["model"].items() if k != "model_type"}
    classes = {
        "videomae": transformers.VideoMAEForVideoClassification,
        "timesformer": transformers.TimesformerForVideoClassification,
        "vivit": transformers.VivitForVideoClassification,
    }
    library = classes[kind](transformers.AutoConfig.for_model(kind, **values)).eval()
    library.save_pretrained(tmp_path / "library")
    model, _ = import_checkpoint_file("transformers-video", tmp_path / "library", tmp_path / "out")
    inner = getattr(library, kind).state_dict()
    state = model.state_dict()
    assert {f"towers.video.model.{name}" for name in inner} == set(state)
    assert all(torch.equal(state[f"towers.video.model.{name}"], tensor) for name, tensor in inner.items())
    again, _, _ = opened(tmp_path / "out")
    assert again.tower("video").processor.frames == 4
    with pytest.raises(CheckpointError, match=f"is a model of type '{kind}', not 'xclip'|not xclip"):
        import_checkpoint_file("transformers-xclip", tmp_path / "library")


def test_wrong_layouts_are_named():
    for layout in ("clip4clip", "xclip", "videoclip"):
        with pytest.raises(CheckpointError, match="lacks"):
            import_checkpoint_file(layout, {"w": torch.ones(1)})
    with pytest.raises(CheckpointError, match=r"no config\.json lies beside it"):
        import_checkpoint_file("transformers-video", {"w": torch.ones(1)})
    with pytest.raises(CheckpointError, match="has 2 text blocks to start 4 blocks of the head from"):
        import_checkpoint_file("clip4clip", clip(), options={"head": "seqTransf", "layers": 4})
    state = started(clip(), "meanP", 4, "2d", "here") | {"clip.visual.new": torch.ones(1)}
    with pytest.raises(CheckpointError, match="1 tensors are unexpected"):
        import_checkpoint_file("clip4clip", state)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_published_system(name):
    if not (TOP / "parity_video.py").is_file() or not REFERENCE.is_dir():
        pytest.skip(f"the reference files or their comparison are not there: {REFERENCE}, {TOP}")
    if str(TOP) not in sys.path:
        sys.path.insert(0, str(TOP))
    path = REFERENCE / f"{name}.json"
    lines = list(importlib.import_module("parity_video").run(path, json.loads(path.read_text())))
    assert lines
    assert not [str(line) for line in lines if line.status not in ("pass", "left")]
    assert all(line.reason for line in lines if line.status == "left")
    assert any(line.status == "pass" for line in lines) or name in ("imagebind", "languagebind")
