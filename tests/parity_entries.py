"""Config entries and a register of adapters, shared by those of tests/parity.py for losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from parity_graph import Graph, Terms
from torch import Tensor

from anyclip.towers import Encoding

Inputs = dict[str, Tensor]
Params = dict[str, Any]
Adapter = Callable[[Inputs, Params], Graph]
ADAPTERS: dict[str, Adapter] = {}


def adapter(function: Adapter) -> Adapter:
    ADAPTERS[function.__name__] = function
    return function


def edge(a: str = "a", b: str = "b", *, loss: str = "infonce", **more: Any) -> dict[str, Any]:
    """A config entry; what is no setting of an edge is an option of the loss. Embeddings are taken as they are."""
    settings = {"scale": "scale", "similarity": "dot"}
    known = ("scale", "bias", "similarity", "weight", "negatives", "fields")
    settings |= {k: more.pop(k) for k in known if k in more}
    return {"pair": [a, b], "loss": {"name": loss, "options": more}, **settings}


def term(name: str, a: str = "a", b: str = "b", **more: Any) -> dict[str, Any]:
    settings = {k: more.pop(k) for k in ("scale", "bias", "similarity", "weight", "fields") if k in more}
    return {"name": name, "pair": [a, b], "options": more, **settings}


def component(name: str, weight: float = 1.0, *, default: str | None = None) -> Callable[[Terms], Any]:
    """A term by its name; a single component stands under the objective's own name (`default`)."""
    return lambda terms: weight * terms.get(name, terms.get(default or name, torch.zeros(())))


def tokens(x: Tensor, mask: Tensor | None = None, pooled: Tensor | None = None) -> Encoding:
    mask = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask.bool()
    return Encoding(pooled=x[:, 0] if pooled is None else pooled, tokens=x, mask=mask)
