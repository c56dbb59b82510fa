"""The account of broken values."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from anyclip.data import Batch, Quarantine
from anyclip.data.batch import BadValue, Part
from anyclip.errors import UserError


def batch(good: int, bad: list[int], stream: str = "x") -> Batch:
    part = Part({stream: torch.zeros(good)}, {stream: torch.arange(good)})
    values = [BadValue("train", f"t.jsonl:{i}", stream, f"broken {i}") for i in bad]
    return Batch([part], good + len(bad), (0, good + len(bad)), bad=values, tried=good + len(bad))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_broken_value_is_written_once(tmp_path):
    path = tmp_path / "run" / "quarantine.jsonl"
    quarantine = Quarantine(path, 0.5)
    for _ in range(3):  # three passes
        quarantine.add(batch(8, [1, 2]))
    quarantine.add(batch(8, [2, 3]))
    assert lines(path) == [
        {"dataset": "train", "sample": f"t.jsonl:{i}", "stream": "x", "reason": f"broken {i}"} for i in (1, 2, 3)
    ]
    assert (quarantine.bad, quarantine.tried, quarantine.total_bad) == ({"x": 8}, {"x": 40}, 8)


def test_no_file_without_broken_values(tmp_path):
    Quarantine(tmp_path / "quarantine.jsonl", 0.1).add(batch(8, []))
    assert not list(tmp_path.iterdir())


def test_a_resumed_run_goes_on_in_the_same_file(tmp_path):
    path = tmp_path / "quarantine.jsonl"
    first = Quarantine(path, 0.5)
    first.add(batch(8, [1]))
    state = json.loads(json.dumps(first.state_dict()))
    first.add(batch(8, [2]))  # after the checkpoint
    with open(path, "ab") as file:
        file.write(b'{"dataset": "train", "sam')  # killed here
    second = Quarantine(path, 0.5)
    second.load_state_dict(state)
    second.add(batch(8, [1, 2, 3]))
    assert second.tried == {"x": 9 + 11}
    assert second.bad == {"x": 1 + 3}
    text = path.read_text().splitlines()
    assert text[2] == '{"dataset": "train", "sam'
    assert [json.loads(line)["sample"] for line in (text[0], text[1], text[3])] == [f"t.jsonl:{i}" for i in (1, 2, 3)]
    assert len(text) == 4


def test_processes_share_a_file(tmp_path):
    """The lock belongs to the open file, so that threads with an account each stand in for processes."""
    path = tmp_path / "quarantine.jsonl"

    def write(rank: int) -> None:
        quarantine = Quarantine(path, 1.0)
        for i in range(40):
            quarantine.record(batch(1, [i, i + 1, 1000 * rank + i]))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(1, 5)))
    samples = [entry["sample"] for entry in lines(path)]
    assert len(samples) == len(set(samples)) == 41 + 4 * 40


def test_above_the_share_it_stops_with_the_first_reason(tmp_path):
    quarantine = Quarantine(tmp_path / "quarantine.jsonl", 0.1)
    for i in range(9):
        quarantine.add(batch(8, [i, i + 100]))  # 20 %, but only 90 values
    with pytest.raises(UserError) as caught:
        quarantine.add(batch(8, [50, 51]))
    assert str(caught.value) == (
        "train: 20 of 100 values (20.0%) of stream x are broken, more than data.max_bad = 0.1; "
        f"first: t.jsonl:0: broken 0; see {tmp_path / 'quarantine.jsonl'}. Mend the data, or raise data.max_bad."
    )


def test_up_to_the_share_it_goes_on():
    quarantine = Quarantine(None, 0.1)
    for i in range(100):
        quarantine.add(batch(9, [i]))


def test_a_share_of_zero_stops_at_the_first():
    with pytest.raises(UserError, match="1 of 10 values"):
        Quarantine(None, 0.0).add(batch(9, [3]))


def test_a_stream_is_not_saved_by_another():
    quarantine = Quarantine(None, 0.1)
    quarantine.add(batch(10_000, []))
    with pytest.raises(UserError, match="stream y"):
        quarantine.add(batch(50, list(range(60)), stream="y"))


def test_a_disk_that_goes_away_stops_a_long_run():
    quarantine = Quarantine(None, 0.1)
    quarantine.add(batch(1_000_000, []))
    for i in range(9):
        quarantine.add(batch(0, list(range(100 * i, 100 * i + 100))))
    with pytest.raises(UserError, match="of the last"):
        quarantine.add(batch(0, list(range(10_000))))


def test_fields_count_as_streams_do():
    quarantine = Quarantine(None, 0.1)
    with_field = batch(4, [])
    with_field.fields = {"label": (torch.arange(3), torch.zeros(3))}
    with_field.bad = [BadValue("train", "t.jsonl:1", "label", "NaN")]
    quarantine.record(with_field)
    assert quarantine.tried == {"x": 4, "label": 4}
    assert quarantine.bad == {"x": 0, "label": 1}
