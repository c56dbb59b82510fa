"""Models of the hub: read from a local cache, written as others get them. Nothing here reaches a network."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import anyclip
from anyclip.api.publish import push, write_published
from anyclip.checkpoint.hub import HubAddress
from anyclip.cli.main import run
from anyclip.config.schema import SourceConfig
from anyclip.errors import CheckpointError, UserError

hub = pytest.importorskip("huggingface_hub")
from huggingface_hub import constants  # noqa: E402

COMMIT = "a" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch) -> Path:
    """An empty cache of the hub, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def store(cache: Path, folder: Path, repo: str, branch: str = "main") -> None:
    """What a download leaves in the cache."""
    where = cache / f"models--{repo.replace('/', '--')}"
    shutil.copytree(folder, where / "snapshots" / COMMIT)
    (where / "refs").mkdir()
    (where / "refs" / branch).write_text(COMMIT)


def test_addresses():
    assert HubAddress.parse("hf://some-lab/clap.v2") == HubAddress("some-lab/clap.v2")
    assert HubAddress.parse("hf://a/b@refs/pr/1") == HubAddress("a/b", "refs/pr/1")
    for wrong in ("hf://alone", "hf://a/b/c", "hf://a/b@", "hf://a b/c"):
        with pytest.raises(UserError, match="hf://OWNER/NAME"):
            HubAddress.parse(wrong)


@pytest.mark.parametrize("branch", ["main", "v2"])
def test_a_cached_model_opens_like_a_folder(folder: Path, cache: Path, branch: str):
    store(cache, folder, "lab/toys", branch)
    address = "hf://lab/toys" + ("" if branch == "main" else f"@{branch}")
    value = np.ones(8, dtype=np.float32)
    found = anyclip.load(address).embed(left=[value])["left"]
    assert torch.equal(found, anyclip.load(folder).embed(left=[value])["left"])


def test_a_model_that_is_not_cached_says_so(cache: Path, capsys):
    with pytest.raises(CheckpointError, match="hf://lab/other: the model is not in the local cache"):
        anyclip.load("hf://lab/other")
    assert run(["embed", "hf://lab/other", "x.npy", "-o", "out.parquet"]) == 2
    assert "not in the local cache" in capsys.readouterr().err


def test_what_is_published_names_no_path_and_opens(folder: Path, tmp_path: Path):
    model = anyclip.load(folder)
    model.config.data.train.append(SourceConfig(name="manifest", options={"path": "/home/me/secret.csv"}))
    model.config.base = "/home/me/secret"
    model.config.model.towers["left"].init = "/home/me/secret.safetensors"
    out = write_published(model, tmp_path / "out", name="hf://lab/toys")
    written = "".join(f.read_text() for f in out.rglob("*") if f.suffix in (".md", ".yaml", ".json"))
    assert "secret" not in written
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: anyclip")
    assert 'anyclip.load("hf://lab/toys")' in card
    assert "| left | toy | `toy/mlp` |" in card
    assert "Data: manifest" in card
    assert anyclip.load(out).digest() == model.digest()


def test_push_sends_the_folder_that_load_reads(folder: Path, cache: Path, monkeypatch):
    """The library's client is replaced by one that keeps what it is given."""
    calls = []

    class Client:
        def __init__(self, **options):
            assert options["library_name"] == "anyclip"

        def create_repo(self, repo, **options):
            calls.append((repo, options))

        def upload_folder(self, *, repo_id, folder_path, revision, commit_message):
            assert commit_message == "first"
            assert revision is None
            store(cache, Path(folder_path), repo_id)
            return SimpleNamespace(commit_url="https://hub/commit/1")

    monkeypatch.setattr(hub, "HfApi", Client)
    model = anyclip.load(folder)
    assert push(model, "hf://lab/toys", message="first") == "https://hub/commit/1"
    assert calls == [("lab/toys", {"private": True, "exist_ok": True})]
    assert anyclip.load("hf://lab/toys").digest() == model.digest()


def test_a_refused_push_is_an_error_for_users(folder: Path, cache: Path):
    with pytest.raises(UserError, match="the hub did not take the model"):
        push(anyclip.load(folder), "hf://lab/toys")  # the real client, without a network


def test_push_command_without_sending(folder: Path, tmp_path: Path, capsys):
    assert run(["push", str(folder), "hf://lab/toys", "--dry-run", str(tmp_path / "dry")]) == 0
    assert "nothing was sent" in capsys.readouterr().out
    assert (tmp_path / "dry" / "README.md").is_file()
    assert run(["push", str(folder), "hf://lab/toys", "--dry-run", str(tmp_path / "dry")]) == 2
    assert run(["push", str(folder), "lab/toys"]) == 2
    assert "hf://OWNER/NAME" in capsys.readouterr().err
