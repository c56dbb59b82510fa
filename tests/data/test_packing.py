"""A batch survives its way through one block of memory."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from anyclip.data.packing import Packed, pack, unpack

TENSORS = [
    torch.arange(12.0).reshape(3, 4).T,
    torch.zeros(0, 5),
    torch.tensor(3),
    torch.ones(2, 3, dtype=torch.bfloat16),
    torch.tensor([True, False]),
    torch.randn(3, dtype=torch.complex64),
    torch.randn(5, dtype=torch.float64).expand(4, 5),
    torch.arange(7, dtype=torch.int16)[::2],
]


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)


@pytest.mark.parametrize("size", [1, 100_000])  # in the message; in shared memory
def test_round_trip(size):
    value = {"list": TENSORS, "big": torch.randn(size), "array": np.arange(9.0)[::3], "text": ["é", None, 3]}
    packed = pack(value)
    assert isinstance(packed.block, torch.Tensor if size > 1 else bytes)
    back = unpack(packed)
    assert all(same(a, b) for a, b in zip(back["list"], TENSORS))
    assert same(back["big"], value["big"])
    assert back["array"].tolist() == [0.0, 3.0, 6.0]
    assert back["text"] == value["text"]
    back["big"] += 1  # writable
    back["array"] += 1


def test_one_tensor_twice_stays_one():
    tensor = torch.randn(4)
    back = unpack(pack([tensor, tensor]))
    assert back[0] is back[1]


def test_containers_keep_their_types():
    assert isinstance(unpack(pack(OrderedDict(a=torch.ones(1)))), OrderedDict)
    kept = unpack(pack(torch.ones(2, requires_grad=True)))
    assert kept.requires_grad


def test_thousands_of_tensors_share_one_object():
    packed = pack([torch.full((64,), i) for i in range(5000)])
    assert packed.block.is_shared()
    assert isinstance(packed, Packed)
    assert [int(t[0]) for t in unpack(packed)[:3]] == [0, 1, 2]


def test_views_keep_the_block_alive():
    tensor = unpack(pack({"x": torch.arange(100_000)}))["x"]
    assert int(tensor.sum()) == 99_999 * 50_000


def test_what_cannot_be_pickled_says_so():
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pack([lambda: 0])
