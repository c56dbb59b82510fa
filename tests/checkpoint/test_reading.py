"""Published checkpoints are read without running anything in them."""

import argparse
import contextlib
import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from anyclip.checkpoint.reading import read_state
from anyclip.errors import CheckpointError

STATE = {
    "a.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "a.bias": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "b": torch.tensor([[1, 2], [3, 4]], dtype=torch.int64).t(),
    "scale": torch.tensor(2.5, dtype=torch.bfloat16),
}


def same(read, expected=STATE):
    assert list(read) == list(expected)
    for name, tensor in expected.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor), name


def refused(path, *words):
    with pytest.raises(CheckpointError) as caught:
        read_state(path)
    assert str(path) in str(caught.value)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_safetensors(tmp_path):
    save_file({k: v.contiguous() for k, v in STATE.items()}, tmp_path / "model.safetensors")
    read = read_state(tmp_path / "model.safetensors")
    same({k: read[k] for k in STATE})
    assert set(read_state(tmp_path)) == set(STATE)  # the folder


def test_sharded_safetensors(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "model-1.safetensors")
    save_file({"b": torch.zeros(3)}, tmp_path / "model-2.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}))
    assert {k: v.shape[0] for k, v in read_state(tmp_path).items()} == {"a": 2, "b": 3}
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors", "c": "model-2.safetensors"}}))
    refused(index, "1 tensors are in no shard: c")
    index.write_text(json.dumps({"weight_map": {"a": "../model-1.safetensors"}}))
    refused(index, "outside its folder")


@pytest.mark.parametrize("new", [True, False])
def test_torch_save(tmp_path, new):
    path = tmp_path / "weights.pt"
    torch.save(OrderedDict(STATE), path, _use_new_zipfile_serialization=new)
    same(read_state(path))


@pytest.mark.parametrize("new", [True, False])
def test_training_checkpoint_with_old_habits(tmp_path, new):
    content = {
        "epoch": 3,
        "args": argparse.Namespace(lr=1e-3, betas=(0.9, 0.98), path=Path("/data")),
        "best": np.float64(0.5),
        "optimizer": {"state": {0: {"step": torch.tensor(5.0)}}, "param_groups": [{"params": [0], "kind": {1, 2}}]},
        "state_dict": {
            f"module._orig_mod.{k}": nn.Parameter(v) if v.is_floating_point() else v for k, v in STATE.items()
        },
    }
    path = tmp_path / "epoch_3.pt"
    torch.save(content, path, _use_new_zipfile_serialization=new)
    same(read_state(path))


def test_numpy_values_become_tensors(tmp_path):
    path = tmp_path / "numpy.pth"
    content = {
        "w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "big": np.arange(3, dtype=">f4"),
        "s": np.float32(2.5),
    }
    torch.save({"model": {**content, "t": torch.ones(2), "f": np.asfortranarray(content["w"])}}, path)
    read = read_state(path)
    assert torch.equal(read["w"], torch.arange(6.0).reshape(2, 3))
    assert torch.equal(read["f"], read["w"])
    assert torch.equal(read["big"], torch.arange(3.0))
    assert torch.equal(read["s"], torch.tensor(2.5))


def test_shared_storage_stays_shared(tmp_path):
    base = torch.arange(10.0)
    torch.save({"whole": base, "part": base[2:5]}, tmp_path / "s.pt")
    read = read_state(tmp_path / "s.pt")
    read["whole"][2] = 100
    assert read["part"].tolist() == [100, 3, 4]


def test_torchscript_archive(tmp_path):
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 3)
            self.register_buffer("steps", torch.tensor([4, 5]))

        def forward(self, x):
            return self.linear(x)

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Inner()
            self.scale = nn.Parameter(torch.tensor(1.25))
            self.size = 7

        def forward(self, x):
            return self.inner(x) * self.scale * self.size

    model = Outer().half()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(model).save(tmp_path / "script.pt")
    read = read_state(tmp_path / "script.pt")
    expected = model.state_dict()
    assert set(read) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(read[name], tensor)


class Evil:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize(
    ("function", "args", "name"),
    [
        (os.system, ("touch {}",), "posix.system"),
        (eval, ("open('{}', 'w')",), "builtins.eval"),
        (exec, ("open('{}', 'w')",), "builtins.exec"),
        (getattr, ("{}", "strip"), "builtins.getattr"),
        (torch.load, ("{}",), "torch.serialization.load"),
        (torch.hub.load, ("{}", "x"), "torch.hub.load"),
        (open, ("{}", "w"), "io.open"),
        (__import__, ("os",), "builtins.__import__"),
        (pickle.loads, (b"",), "pickle.loads"),
    ],
)
def test_malicious_pickles_are_refused_by_name(tmp_path, function, args, name, new):
    path, canary = tmp_path / "evil.pt", tmp_path / "canary"
    args = tuple(a.format(canary) if isinstance(a, str) else a for a in args)
    torch.save(
        {"state_dict": {"w": torch.ones(2), "x": Evil(function, *args)}}, path, _use_new_zipfile_serialization=new
    )
    refused(path, name, "could run code")
    assert not canary.exists()


def raw_pickle(path, data):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/data/0", b"\0" * 16)
        archive.writestr("archive/version", "3\n")


STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"


def tensor_pickle(size: bytes, stride: bytes, storage: bytes = STORAGE) -> bytes:
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + size + stride + b"\x89}tR"
    return b"\x80\x02}X\x01\x00\x00\x00w" + call + b"s."


def test_hand_written_tensor_reads(tmp_path):
    raw_pickle(tmp_path / "ok.pt", tensor_pickle(b"K\x02K\x02\x86", b"K\x02K\x01\x86"))
    assert torch.equal(read_state(tmp_path / "ok.pt")["w"], torch.zeros(2, 2))


def long(n):
    return b"\x8a\x08" + struct.pack("<q", n)


@pytest.mark.parametrize(
    "data",
    [
        tensor_pickle(long(10**12) + b"\x85", b"K\x00\x85"),  # a stride of 0 shows 4 TB in 16 bytes
        tensor_pickle(long(10**12) + b"\x85", b"K\x01\x85"),  # beyond the storage
        tensor_pickle(b"K\x02\x85", long(-1) + b"\x85"),  # before it
        tensor_pickle(
            b"K\x02\x85", b"K\x01\x85", STORAGE.replace(b"K\x04", long(10**12))
        ),  # storage longer than its bytes
        b"\x80\x02}" + b"\x96" + struct.pack("<Q", 2**40) + b".",  # a byte array of 1 TB
        b"\x80\x02}X\x01\x00\x00\x00w" + b"\x8d" + struct.pack("<Q", 2**40) + b"s.",  # text of 1 TB
        b"\x80\x02}" + b"r\xff\xff\xff\xff" + b".",  # a memo of 4 billion entries: holds one; then no tensors
        b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s.",  # a key too deep to hash
    ],
    ids=["stride0", "beyond", "negative", "storage", "bytearray", "text", "memo", "deep"],
)
def test_absurd_sizes_are_refused(tmp_path, data):
    raw_pickle(tmp_path / "absurd.pt", data)
    refused(tmp_path / "absurd.pt")


def test_state_cannot_change_functions(tmp_path):
    """BUILD on a function of the table must not touch it, or one file could change how the next is read."""
    build = b"\x80\x02ctorch._utils\n_rebuild_parameter\n}X\x0c\x00\x00\x00__defaults__K\x01\x85sb0}."
    raw_pickle(tmp_path / "build.pt", build)
    refused(tmp_path / "build.pt", "holds no tensors")
    torch.save({"w": nn.Parameter(torch.ones(2))}, tmp_path / "next.pt")
    assert torch.equal(read_state(tmp_path / "next.pt")["w"], torch.ones(2))


def test_decompression_bomb(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("archive/data/0", b"\0" * (80 * 2**20))
    refused(path, "decompression bomb")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_cut_short(tmp_path, kind):
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    state = {"w": torch.randn(1000)}
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    for share in (0.02, 0.3, 0.6, 0.9, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        refused(path)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("new", [True, False])
def test_flipped_bytes_never_crash(tmp_path, new, seed):
    buffer = io.BytesIO()
    torch.save({"state_dict": STATE}, buffer, _use_new_zipfile_serialization=new)
    whole, rng = buffer.getvalue(), np.random.default_rng(seed)
    path = tmp_path / "w.pt"
    for _ in range(60):
        damaged = bytearray(whole)
        for at in rng.integers(len(whole), size=4):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):  # anything else fails the test
            read_state(path)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (b"just some text", "neither"),
    ],
)
def test_not_a_checkpoint(tmp_path, content, word):
    (tmp_path / "x.pt").write_bytes(content)
    refused(tmp_path / "x.pt", word)


def test_missing_and_without_tensors(tmp_path):
    refused(tmp_path / "none.pt", "no such file")
    refused(tmp_path, "no weights")
    torch.save({"epoch": 1, "name": "x"}, tmp_path / "empty.pt")
    refused(tmp_path / "empty.pt", "holds no tensors", "epoch, name")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"w": 1}))
    refused(tmp_path / "plain.pkl", "not written by torch.save")
