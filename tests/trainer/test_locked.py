"""Locked towers with stored vectors: same numbers, nothing computed twice, no wrong reuse, exact resume."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import torch

from anyclip.checkpoint import RunFolder, load_tensors
from anyclip.data.digests import value_digest
from anyclip.data.vectors import VectorTable
from anyclip.errors import BadSample, ConfigError, UserError
from anyclip.model import build_model
from anyclip.testing.toy import ToyProcessor
from anyclip.trainer import locked, train, vectors
from anyclip.trainer.metrics import read_metrics

LOCKED = {
    "model.towers.b": {"name": "toy/mlp", "options": {"size": 12}, "freeze": True, "cache": True},
    "data.batch_size": 6,
    "train.checkpoint_every": 4,
    "train.keep": 9,
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYCLIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vectors"


@pytest.fixture
def data(tmp_path):
    """24 rows: a is inline, b a file; some files are twice the same, one is missing, one broken, one has choices."""
    rng = np.random.default_rng(0)
    for i in range(24):
        np.save(tmp_path / f"b{i}.npy", rng.standard_normal(12).astype(np.float32))
    shutil.copy(tmp_path / "b3.npy", tmp_path / "b4.npy")
    (tmp_path / "b7.npy").unlink()
    (tmp_path / "b8.npy").write_bytes(b"no array")
    rows = [{"a": rng.standard_normal(16).round(3).tolist(), "b": f"b{i}.npy"} for i in range(24)]
    rows[9]["b"] = ["b9.npy", "b10.npy", "b0.npy"]
    rows[11].pop("b")
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"data.train": [{"name": "manifest", "options": {"path": str(path)}}], "data.max_bad": 0.5}


def losses(run):
    return [(r["loss"], r["grad_norm"], r["bad"]) for r in read_metrics(run / "metrics.jsonl")]


def weights(run):
    return {n: load_tensors(RunFolder(run).latest() / f"{n}.safetensors") for n in ("model", "objectives", "optimizer")}


def same(one, two):
    return all(torch.equal(one[n][k], two[n][k]) for n in one for k in one[n])


def test_the_numbers_are_those_of_the_uncached_run(toy, data, tmp_path):
    cached = train(toy(**LOCKED, **data, **{"train.out": str(tmp_path / "cached")}), quiet=True)
    plain = {**LOCKED, "model.towers.b": {**LOCKED["model.towers.b"], "cache": False}}
    uncached = train(toy(**plain, **data, **{"train.out": str(tmp_path / "plain")}), quiet=True)
    np.testing.assert_allclose(losses(cached), losses(uncached), rtol=1e-5)
    bad = [(run / "quarantine.jsonl").read_text().splitlines() for run in (cached, uncached)]
    assert len(bad[0]) == 2
    assert [json.loads(line)["sample"] for line in bad[0]] == [json.loads(line)["sample"] for line in bad[1]]
    assert "cannot be read" in bad[0][0] or "cannot be read" in bad[0][1]
    assert any("not a vector" in line for line in bad[0])


def test_stored_vectors_are_those_of_the_tower(toy, data, cache, tmp_path):
    config = toy(**LOCKED, **data, **{"train.steps": 1})
    train(config, quiet=True)
    (key,) = cache.iterdir()
    table = VectorTable(list(key.iterdir()))
    assert len(table.segments) == 1
    assert table.segments[0].vectors.shape == (21, 32)  # of 24 files: one missing, one twice, one in no row
    model = build_model(config.model, seed=config.train.seed).eval()
    for i in (0, 3, 4, 9, 10, 23):
        value = str(tmp_path / f"b{i}.npy")
        want = model.encode("b", torch.from_numpy(np.load(value))[None]).pooled[0]
        got = table.vector(table.content(value, text=False))
        np.testing.assert_allclose(got, want.numpy(), atol=2e-6)


def test_resume_is_exact_and_nothing_is_computed_or_decoded_twice(toy, data, cache, tmp_path, monkeypatch):
    first = train(toy(**LOCKED, **data, **{"train.out": str(tmp_path / "first")}), quiet=True)
    files = {p: p.stat().st_mtime_ns for p in cache.rglob("*") if p.is_file()}
    monkeypatch.setattr(vectors, "encode_values", lambda *_, **__: pytest.fail("encoded again"))
    load = ToyProcessor.load
    monkeypatch.setattr(
        ToyProcessor, "load", lambda self, v, **kw: pytest.fail("decoded") if self.size == 12 else load(self, v, **kw)
    )
    again = train(toy(**LOCKED, **data, **{"train.out": str(tmp_path / "again")}), quiet=True)
    assert losses(first) == losses(again)
    (again / "checkpoints" / "latest").write_text("step-00000004\n")
    shutil.rmtree(again / "checkpoints" / "step-00000008")
    shutil.rmtree(again / "checkpoints" / "step-00000010")
    train(toy(**LOCKED, **data, **{"train.out": str(again)}), quiet=True, resume=True)
    assert losses(first) == losses(again)
    assert same(weights(first), weights(again))
    assert files == {p: p.stat().st_mtime_ns for p in cache.rglob("*") if p.is_file()}


def test_a_table_that_was_deleted_is_filled_with_the_same_bits(toy, data, cache, tmp_path):
    first = train(toy(**LOCKED, **data, **{"train.out": str(tmp_path / "first")}), quiet=True)
    before = sorted(p.read_bytes() for p in cache.rglob("vectors.npy"))
    shutil.rmtree(cache)
    shutil.copytree(first, tmp_path / "second")
    (tmp_path / "second" / "checkpoints" / "latest").write_text("step-00000004\n")
    train(toy(**LOCKED, **data, **{"train.out": str(tmp_path / "second")}), quiet=True, resume=True)
    assert sorted(p.read_bytes() for p in cache.rglob("vectors.npy")) == before
    assert same(weights(first), weights(tmp_path / "second"))


def test_new_values_are_added_and_old_ones_kept(toy, data, cache, tmp_path):
    config = toy(**LOCKED, **data, **{"train.steps": 1, "train.out": str(tmp_path / "one")})
    train(config, quiet=True)
    rng = np.random.default_rng(5)
    with open(tmp_path / "rows.jsonl", "a") as file:
        for i in range(30, 33):
            np.save(tmp_path / f"b{i}.npy", rng.standard_normal(12).astype(np.float32))
            file.write(json.dumps({"a": [0.5] * 16, "b": f"b{i}.npy"}) + "\n")
    run = train(toy(**LOCKED, **data, **{"train.steps": 1, "train.out": str(tmp_path / "two")}), quiet=True)
    (key,) = cache.iterdir()
    segments = json.loads((run / "vectors.json").read_text())["b"]["segments"]
    assert sorted(segments) == sorted(p.name for p in key.iterdir())
    assert [len(np.load(key / name / "vectors.npy")) for name in segments] == [21, 3]


@pytest.mark.parametrize("change", ["weights", "processor", "versions", "options"])
def test_another_tower_has_another_table(toy, data, cache, tmp_path, monkeypatch, change):
    settings = {**LOCKED, **data, "train.steps": 1}
    train(toy(**settings, **{"train.out": str(tmp_path / "one")}), quiet=True)
    if change == "weights":
        settings["train.seed"] = 1
    elif change == "processor":
        monkeypatch.setattr(ToyProcessor, "version", "2")
    elif change == "versions":
        monkeypatch.setattr(locked, "versions_of", lambda distribution: {"torch": "0"})
    else:
        settings["model.towers.b"] = {**LOCKED["model.towers.b"], "options": {"size": 12, "depth": 1}}
    train(toy(**settings, **{"train.out": str(tmp_path / "two")}), quiet=True)
    assert len(list(cache.iterdir())) == 2


def test_a_file_that_changes_is_another_content(data, toy, cache, tmp_path):
    train(toy(**LOCKED, **data, **{"train.steps": 1}), quiet=True)
    (key,) = cache.iterdir()
    table = VectorTable(list(key.iterdir()))
    path = tmp_path / "b0.npy"
    before = table.content(str(path), text=False)
    assert before == value_digest(str(path), text=False)
    os.utime(path, ns=(1, 1))  # same bytes: read again, and found
    assert table.content(str(path), text=False) == before
    np.save(path, np.zeros(12, dtype=np.float32))
    changed = table.content(str(path), text=False)
    assert changed != before
    with pytest.raises(BadSample, match="changed since the run began"):
        table.vector(changed)


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_two_processes_fill_one_table_with_the_same_bits(cli, toy, data, cache, tmp_path, strategy):
    rng = np.random.default_rng(6)
    with open(tmp_path / "rows.jsonl", "a") as file:  # several batches, the last one not full
        for _ in range(2 * vectors.BATCH):
            row = {"a": rng.standard_normal(16).tolist(), "b": rng.standard_normal(12).tolist()}
            file.write(json.dumps(row) + "\n")
    settings = {**LOCKED, **data, "model.towers.a": {"name": "toy/mlp"}}
    one = train(toy(**settings, **{"train.out": str(tmp_path / "one")}), quiet=True)
    before = [p.read_bytes() for p in cache.rglob("vectors.npy")]
    shutil.rmtree(cache)
    more = {"train.out": str(tmp_path / "two"), "train.devices": 2, "train.strategy": strategy, "data.workers": 1}
    code, _, err = cli(**settings, **more).finish()
    assert code == 0, err
    assert [p.read_bytes() for p in cache.rglob("vectors.npy")] == before
    np.testing.assert_allclose(losses(one), losses(tmp_path / "two"), rtol=1e-4)


@pytest.mark.parametrize(
    ("tower", "message"),
    [({"freeze": False}, "needs freeze: true"), ({"options": {"size": 12, "noise": 0.1}}, "augment its values")],
)
def test_check_refuses_what_has_no_one_vector(toy, data, tower, message):
    with pytest.raises(ConfigError, match=message):
        toy(**{**LOCKED, "model.towers.b": {**LOCKED["model.towers.b"], **tower}}, **data)


def test_tokens_cannot_be_read_of_stored_vectors(toy, data, monkeypatch):
    from anyclip.testing.toy_objectives import TokenMax

    build = locked._sources

    def with_tokens(model, objectives, *more):
        objectives[0].needs = TokenMax.needs
        return build(model, objectives, *more)

    monkeypatch.setattr(locked, "_sources", with_tokens)
    with pytest.raises(UserError, match="a-b cannot use stored vectors: its similarity reads tokens"):
        train(toy(**LOCKED, **data), quiet=True)


def test_a_disk_that_cannot_be_written(toy, data, cache):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file")
    with pytest.raises(UserError, match="could not be written"):
        train(toy(**LOCKED, **data), quiet=True)


def test_check_refuses_what_reads_more_than_vectors(toy, data):
    objectives = [{"pair": ["a", "b"], "similarity": "filip"}]
    with pytest.raises(ConfigError, match="the similarity filip reads its tokens"):
        toy(**LOCKED, **data, objectives=objectives)
    toy(**{**LOCKED, "model.towers.b": {**LOCKED["model.towers.b"], "cache": False}}, **data, objectives=objectives)


def test_similarities_say_truly_whether_they_read_tokens():
    from anyclip.registry import get_registry

    registry = get_registry()
    for part in registry.parts("similarity"):
        cls = registry.load("similarity", part.qualified)
        assert part.spec.tokens == bool({"tokens", "layers"} & set(cls.needs)), part.spec.name
