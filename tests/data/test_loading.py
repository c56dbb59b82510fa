"""Loading in workers: the same batches as without, errors that name the value, a quick end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from anyclip.data import Sampler, TrainData
from anyclip.data.workers import _start_time, alive, death
from anyclip.errors import UserError

from .conftest import assert_same, data, scenes, vectors, words


@contextmanager
def running(config, streams, **kwargs):
    with TrainData(config, streams, seed=kwargs.pop("seed", 0), **kwargs) as train:
        yield train


def take(train: TrainData, start: int, count: int) -> list:
    return [batch for _, batch in zip(range(count), train.batches(start))]


def worker_pids(train: TrainData) -> list[int]:
    return [worker.pid for worker in train._pool._iterator._workers]  # type: ignore[union-attr]


def gone(pids: list[int], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(alive(pid, born) for pid in pids if (born := _born(pid))):
            return True
        time.sleep(0.05)
    return False


def _born(pid: int) -> str | None:
    from anyclip.data.workers import _start_time

    return _start_time(pid)


def test_workers_make_the_same_batches_from_any_start(table):
    broken = table([{"a": [0.5] * 16, "b": [float(i)] * 16} for i in range(24)] + [{"a": [1.0], "b": [0.0] * 16}] * 3)
    config = {
        "train": [scenes(40, weight=2.0), broken],
        "batch_size": 8,
        "micro": 3,
    }
    streams = vectors("a", "b", "a#1")
    found = {}
    for workers in (0, 1, 2):
        kwargs = {"world": 2, "rank": 1, "micro_batch": config["micro"]}
        with running(data(*config["train"], batch_size=8, workers=workers), streams, **kwargs) as train:
            found[workers] = take(train, 0, 12)
            if workers:  # another iteration with the same workers
                for expected, batch in zip(found[workers][7:], take(train, 7, 5)):
                    assert_same(expected, batch)
    assert any(batch.bad for batch in found[0])
    assert [batch.step for batch in found[0]] == list(range(12))
    for workers in (1, 2):
        for expected, batch in zip(found[0], found[workers]):
            assert_same(expected, batch)
    with running(data(*config["train"], workers=2), streams, **kwargs) as train:
        for expected, batch in zip(found[0][5:], take(train, 5, 7)):
            assert_same(expected, batch)


def test_a_million_steps_in_starts_at_once():
    with running(data(scenes(1000), batch_size=64), vectors("a", "b")) as train:
        start = time.process_time()
        batch = next(train.batches(1_000_000))
        assert time.process_time() - start < 1.0
        assert batch.step == 1_000_000


def test_loading_leaves_the_random_state_of_the_trainer_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for workers in (0, 1):
        with running(data(scenes(), workers=workers), vectors("a", "b")) as train:
            take(train, 0, 2)
    assert torch.equal(before, torch.get_rng_state())


def test_a_worker_that_dies_is_named_with_the_value_it_loaded(table):
    config = data(table([{"x": "a"}, {"x": f"signal {int(signal.SIGKILL)}"}]), batch_size=2, workers=1)
    with running(config, words("x")) as train, pytest.raises(UserError) as caught:
        take(train, 0, 1)
    (source,) = train.sources
    assert str(caught.value) == (
        "data: loader worker 0 was killed by the operating system, most often for want of memory while it loaded "
        f"stream x of train.jsonl:2 ({source.name}). Lower data.workers, data.prefetch or data.batch_size."
    )


def test_other_errors_of_a_worker_reach_the_trainer(table):
    config = data(table([{"x": "raise memory"}]), batch_size=1, workers=1)
    with running(config, words("x")) as train, pytest.raises(MemoryError):
        take(train, 0, 1)
    config = data(table([{"x": "unpicklable"}], "u.jsonl"), batch_size=1, workers=1)
    with running(config, words("x")) as train, pytest.raises((AttributeError, Exception), match="lambda"):
        take(train, 0, 1)
    config = data(table([{"x": "a"}, {"x": "shape 3"}], "s.jsonl"), batch_size=2, workers=1)
    with running(config, words("x")) as train, pytest.raises(UserError) as caught:
        take(train, 0, 1)
    assert str(caught.value).startswith("stream x: FaultyProcessor could not collate 2 samples")


def test_closing_is_quick_though_workers_are_busy(table):
    rows = [{"x": "a"}] + [{"x": "sleep 60"}] * 40
    with running(data(table(rows), batch_size=1, workers=2), words("x")) as train:
        quick = next(step for step in range(41) if train.sampler.batch(step)[0, 2] == 0)
        next(train.batches(quick))
        pids = worker_pids(train)
        time.sleep(0.2)
        start = time.monotonic()
        train.close()
        assert time.monotonic() - start < 6
        assert gone(pids, 4)


def test_workers_do_not_heed_the_signals_of_the_group(table):
    with running(data(table([{"x": "a"}] * 8), batch_size=1, workers=1), words("x")) as train:
        batches = train.batches()
        next(batches)
        (pid,) = worker_pids(train)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
        assert [next(batches).step for _ in range(20)] == list(range(1, 21))
        assert worker_pids(train) == [pid]


def test_many_small_tensors_do_not_use_up_file_descriptors(table):
    before = len(os.listdir("/proc/self/fd"))
    with running(data(scenes(64), batch_size=64, workers=1), vectors("a", "b"), micro_batch=1) as train:
        kept = take(train, 0, 10)  # 64 parts each: some 2000 tensors
    assert len(os.listdir("/proc/self/fd")) - before < 40
    assert sum(len(part.inputs) for batch in kept for part in batch.parts) > 800


def test_every_death_has_words():
    assert death([None, None], [None, None]) is None
    error = death([None, -signal.SIGBUS], [None, "stream x of row 3"])
    assert "loader worker 1 got a bus error: shared memory (/dev/shm) is full while" in str(error)
    assert "crashed in native code (segmentation fault)." in str(death([-signal.SIGSEGV], [None]))
    assert "ended with exit code 3. Run with data.workers=0" in str(death([3], [None]))


class Backwards:
    """A sampler as a plugin might bring one: rows from the last to the first, and a state."""

    steps_per_epoch = 5.0

    def __init__(self, size: int):
        self.size, self.turn = size, 0

    def batch(self, step: int) -> np.ndarray:
        return np.array([[0, 0, (self.size - 1 - 2 * step - i - self.turn) % self.size] for i in range(2)])

    def state_dict(self) -> dict:
        return {"turn": self.turn}

    def load_state_dict(self, state: dict) -> None:
        self.turn = state["turn"]


def test_another_sampler_can_take_over(table):
    config = data(table([{"x": "a" * (i + 1)} for i in range(10)]), batch_size=2)
    assert isinstance(Backwards(10), Sampler)
    with running(config, words("x"), sampler=Backwards(10)) as train:
        assert train.steps_per_epoch == 5.0
        lengths = [int(v) for batch in take(train, 0, 3) for v in batch.parts[0].inputs["x"][:, 0]]
        assert lengths == [10, 9, 8, 7, 6, 5]
        train.sampler.turn = 4
        state = train.state_dict()
    with running(config, words("x"), sampler=Backwards(10)) as train:
        train.load_state_dict(state)
        assert take(train, 0, 1)[0].parts[0].inputs["x"][:, 0].tolist() == [6, 5]


def test_page_locked_batches_hold_the_same(monkeypatch):
    """Without a CUDA device the option does nothing; with one (played here) the values are the same."""
    plain, streams = data(scenes()), vectors("a", "b")
    with running(plain, streams, pin_memory=True) as train:
        expected = take(train, 0, 2)
        assert train.pin_memory == torch.cuda.is_available()
    copied = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: copied.append(self) or self.clone())
    with running(plain, streams, pin_memory=True) as train:
        for one, other in zip(expected, take(train, 0, 2)):
            assert_same(one, other)
    assert len(copied) == 2  # one copy a batch


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="no fork server here")
def test_the_fork_server_outlives_a_group_signal():
    """SIGTERM to the whole process group: the trainer still gets the batches it needs to end well."""
    from multiprocessing.forkserver import _forkserver

    _forkserver._stop()  # another test may have started it without what this package loads into it
    with running(data(scenes(), workers=1), vectors("a", "b")) as train:
        batches = train.batches(0)
        next(batches)
        server = _forkserver._forkserver_pid
        born = _start_time(server)
        os.kill(server, signal.SIGTERM)
        time.sleep(0.5)
        assert alive(server, born)
        assert next(batches).step == 1
