"""What the data tests share: small datasets of words and of vectors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from anyclip.config.schema import DataConfig, SourceConfig
from anyclip.data import Batch, StreamInfo
from anyclip.registry import get_registry
from anyclip.registry.registry import Part, PluginRow, Registry, use_registry
from anyclip.specs import ModalitySpec
from anyclip.testing.faulty import FaultyProcessor
from anyclip.testing.toy import ToyProcessor

BROKEN = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "broken"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch) -> None:
    monkeypatch.setenv("ANYCLIP_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def modalities() -> Iterator[None]:
    """Two more modalities: `words`, whose strings are values, and `file`, whose strings are paths."""
    row = PluginRow("test", "test", "1")
    for name, is_value in (("words", True), ("file", False)):
        row.parts.append(Part(ModalitySpec(name=name, summary="", string_is_value=is_value), "test", "1"))
    with use_registry(Registry([*get_registry().rows, row])):
        yield


@pytest.fixture
def broken() -> Path:
    if not BROKEN.is_dir():
        pytest.skip(f"the shared test data is not there: {BROKEN}")
    return BROKEN


@pytest.fixture
def table(tmp_path) -> Callable[..., SourceConfig]:
    """Write rows to a JSONL manifest -> its config."""

    def write(rows: list[dict], name: str = "train.jsonl", **kwargs) -> SourceConfig:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return SourceConfig(name="manifest", options={"path": str(path)}, **kwargs)

    return write


def words(*names: str) -> dict[str, StreamInfo]:
    return {name: StreamInfo(FaultyProcessor(), "words") for name in names}


def vectors(*names: str, noise: float = 0.5) -> dict[str, StreamInfo]:
    return {name: StreamInfo(ToyProcessor(16, noise), "toy") for name in names}


def scenes(size: int = 40, *, missing: float = 0.3, **kwargs) -> SourceConfig:
    """Synthetic vectors for the streams `a` and `b`; `b` is missing now and then."""
    return SourceConfig(name="synthetic", options={"size": size, "streams": {"b": {"missing": missing}}}, **kwargs)


def data(*train: SourceConfig, batch_size: int = 8, workers: int = 0, **kwargs) -> DataConfig:
    return DataConfig(train=list(train), batch_size=batch_size, workers=workers, **kwargs)


def assert_same(a: Batch, b: Batch) -> None:
    """Bit for bit."""
    assert (a.step, a.size, a.local, a.bad, a.tried, len(a.parts)) == (
        b.step,
        b.size,
        b.local,
        b.bad,
        b.tried,
        len(b.parts),
    )
    for one, other in zip(a.parts, b.parts):
        assert one.inputs.keys() == other.inputs.keys() == one.rows.keys() == other.rows.keys()
        for stream in one.inputs:
            assert torch.equal(one.inputs[stream], other.inputs[stream])
            assert torch.equal(one.rows[stream], other.rows[stream])
    assert a.fields.keys() == b.fields.keys()
    for name in a.fields:
        assert torch.equal(a.fields[name][0], b.fields[name][0])
        assert torch.equal(torch.as_tensor(a.fields[name][1]), torch.as_tensor(b.fields[name][1]))
