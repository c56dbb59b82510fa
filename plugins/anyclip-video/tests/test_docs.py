"""docs/video.md: its Python runs, its YAML fits, its table of decoders and readers is that of the plugin."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from anyclip_video.sources import MODULES

from anyclip.config import config_from_dict
from anyclip.registry import get_registry

PAGE = (Path(__file__).parents[3] / "docs" / "video.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_runs(capsys):
    (example,) = blocks("python")
    exec(compile(example, "video.md", "exec"), {})
    shown = capsys.readouterr().out
    assert shown == "torch.Size([1, 4, 3, 64, 64]) torch.Size([1, 4]) torch.Size([1, 64])\n"


@pytest.mark.parametrize("block", blocks("yaml"))
def test_the_data_sections_fit(block):
    from ruamel.yaml import YAML

    from .test_runs import TEXT, VIDEO

    part = YAML(typ="safe").load(block)
    config = config_from_dict(
        {
            "model": {"dim": 8, "towers": {"video": VIDEO, "text": TEXT}},
            "objectives": [{"pair": ["video", "text"]}],
            "train": {"steps": 1},
            **part,
            **({"eval": [{"name": "retrieval", "pair": ["video", "text"]}]} if "val" in part["data"] else {}),
        }
    )
    assert config.data.train


def test_rows_are_json_and_tables_are_complete():
    rows = [json.loads(line) for block in blocks("json") for line in block.splitlines()]
    assert all({"video", "text"} <= set(row) for row in rows)
    shown = set(re.findall(r"^\| `?(\w+)`? \|", PAGE, re.MULTILINE))
    readers = {part.spec.name for part in get_registry().parts("reader") if part.distribution == "anyclip-video"}
    assert readers - shown == {"overlapping_clips"}
    assert {"PyAV" if name == "pyav" else name for name in MODULES} <= shown
