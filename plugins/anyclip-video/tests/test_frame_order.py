"""The evaluation `frame_order`: trials, swapped captions, exactly half without order, by command."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from anyclip_video.frame_order import clip_scores, roll_real
from anyclip_video.writing import write_video

from anyclip.cli import main
from anyclip.registry import get_registry

from .cases import open_clip

TEXT = {"model": {"embed_dim": 24, "text_cfg": {"context_length": 16, "width": 16, "heads": 2, "layers": 1}}}


@pytest.fixture
def config(tmp_path):
    """make(head) writes a config over twelve clips: a bright bar that goes right and then left, or only right."""

    def make(head: str, **order) -> str:
        rng = np.random.Generator(np.random.Philox(5))
        rows = []
        for i in range(12):
            path = list(range(4)) + list(range(3, -1, -1)) if i % 2 else list(range(8))
            frames = rng.integers(0, 40, (8, 32, 32, 3), dtype=np.uint8)
            for t, x in enumerate(path):
                frames[t, :, 4 * x : 4 * x + 4] = 255
            (tmp_path / f"{i}.mp4").write_bytes(write_video(frames, 8.0))
            text = f"a bar {i} moving right and then left" if i % 2 else f"a bar {i} moving right"
            rows.append({"video": f"{i}.mp4", "text": text})
        (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        source = {"name": "manifest", "options": {"path": str(tmp_path / "t.jsonl")}}
        towers = {
            "video": {"name": "video/frames", "options": {"frame": open_clip(), "head": head, "frames": 8}},
            "text": {"name": "text/open_clip", "options": TEXT},
        }
        towers["video"]["options"] |= {"head_layers": 1} if head == "seqTransf" else {}
        run = {
            "model": {"dim": 24, "towers": towers},
            "objectives": [{"pair": ["text", "video"], "loss": "infonce"}],
            "data": {"train": [source], "val": [source], "batch_size": 6, "workers": 0},
            "train": {"steps": 1, "threads": 1, "out": str(tmp_path / head)},
            "eval": [{"name": "frame_order", "pair": ["video", "text"], "options": order}],
        }
        path = tmp_path / f"{head}.yaml"
        path.write_text(json.dumps(run))
        return str(path)

    return make


def measured(config: str, out) -> dict:
    assert main.run(["check", config]) == 0
    assert main.run(["train", config, "--quiet"]) == 0
    return json.loads((out / "eval" / "latest.json").read_text())["results"][0]


def test_the_mean_gets_exactly_half(config, tmp_path):
    result = measured(config("meanP"), tmp_path / "meanP")
    assert result["numbers"] == {"video->text/order": 0.5}
    assert result["chance"] == {"video->text/order": 0.5}
    assert result["info"]["trials"] == 12
    assert result["intervals"]["video->text/order"] == [0.5, 0.5]


def test_a_head_is_measured_again_by_the_command(config, tmp_path):
    result = measured(config("seqLSTM"), tmp_path / "seqLSTM")
    value = result["numbers"]["video->text/order"]
    assert value * 12 == pytest.approx(round(value * 12))
    assert main.run(["eval", str(tmp_path / "seqLSTM"), "--no-report"]) == 0
    again = json.loads((tmp_path / "seqLSTM" / "eval" / "latest.json").read_text())["results"][0]
    assert again["numbers"] == result["numbers"]
    wrong = 'eval=[{"name": "frame_order", "pair": ["text", "text"]}]'
    assert main.run(["eval", str(tmp_path / "seqLSTM"), "--no-report", wrong]) != 0


def test_no_caption_tells_an_order(config, tmp_path):
    result = measured(config("meanP", pattern="(before) (after)"), tmp_path / "meanP")
    assert result["numbers"] == {}
    assert result["info"]["trials"] == 0


def test_options_that_do_not_go_together():
    with pytest.raises(Exception, match="pattern and swapped do not go together"):
        get_registry().build_options("evaluation", "frame_order", {"pattern": "(a", "swapped": ""})
    with pytest.raises(Exception, match="pattern and swapped do not go together"):
        get_registry().build_options("evaluation", "frame_order", {"pattern": "(one) and", "swapped": r"\2"})


def test_real_frames_are_rolled_and_padding_stays():
    x = torch.arange(10).reshape(2, 5, 1)
    mask = torch.tensor([[True] * 5, [True] * 4 + [False]])
    assert roll_real(x, mask, 0.5)[..., 0].tolist() == [[2, 3, 4, 0, 1], [7, 8, 5, 6, 9]]


def test_scores_of_a_clip_in_either_order_and_direction():
    class Both(torch.nn.Module):
        def scores(self, a, b):
            one = a["embedding"] @ b["embedding"].T
            return one, 2 * one.T

    clip, texts = {"embedding": torch.tensor([[1.0, 2.0]])}, {"embedding": torch.eye(2)}
    assert clip_scores(Both(), clip, texts, forward=True).tolist() == [1, 2]
    assert clip_scores(Both(), clip, texts, forward=False).tolist() == [2, 4]
