"""The published formula on numbers that can be said beforehand."""

import pytest
import torch

from anyclip import create_loss

A = torch.eye(3, 4)
B = torch.tensor([[0.9, 0.8, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])


def test_hardest():
    # a: row 1 violates by 0.2 - 0.5 + 0.8 = 0.5, the others not at all; b: row 0 by 0.2 - 0.9 + 0.8 = 0.1
    assert create_loss("vse")(A, B).item() == pytest.approx((0.5 + 0.1) / 3, abs=1e-6)


def test_sum_adds_what_max_leaves_out():
    assert create_loss("vse", hardest=False, margin=1.0)(A, B) > create_loss("vse", margin=1.0)(A, B)
