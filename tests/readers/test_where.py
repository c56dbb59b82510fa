"""The row filter: what it keeps, and that nothing outside its language is ever run."""

from __future__ import annotations

import pickle

import pytest

from anyclip.errors import DataError
from anyclip.readers.where import Where

ROW = {"split": "train", "n": 3, "f": 0.5, "text": "a red car", "none": None, "ok": True, "cell": "12.5", "odd name": 1}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('split == "train"', True),
        ('split != "train"', False),
        ("n <= 3 and f > 0.4", True),
        ("n < 3 or f >= 0.5", True),
        ("not (n == 3)", False),
        ("not n == 4 and ok == true", True),
        ('split in ["train", "val"]', True),
        ('split not in ("val", "test")', True),
        ("none is null", True),
        ("none == null", True),
        ("n is not null", True),
        ("n != null", True),
        ("none != 1", True),
        ("none < 1", False),
        ("none >= 1", False),
        ("not none < 1", True),
        ('"red" in text', True),
        ('"blue" in none', False),
        ("1 < n <= 3", True),
        ("cell > 12", True),
        ("cell == 12.5", True),
        ("n > -1", True),
        ("ok", True),
        ("ok == 1", False),
        ('column("odd name") == 1', True),
        ("  n == 3  ", True),
        ("n in [1, 3.0]", True),
    ],
)
def test_keeps(text, kept):
    assert Where(text)(ROW) is kept
    assert pickle.loads(pickle.dumps(Where(text)))(ROW) is kept


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "split.__class__",
        "open('x')",
        "[x for x in text]",
        "(lambda: 1)()",
        "n + 1 == 4",
        "n ** n",
        "f'{n}' == '3'",
        "text[0] == 'a'",
        "column(split)",
        "column('a', 'b')",
        "split is train",
        "b'x' == text",
        "1j == n",
        "n := 3",
        "n = 3",
        "",
        "n ==",
        "split == 'a'; n",
        "(" * 300 + "n" + ")" * 300,
        "not " * 5000 + "n",
        "n == 3 if ok else 4",
        "*n",
        "...",
        "-split",
    ],
)
def test_refuses(text):
    with pytest.raises(DataError, match="where"):
        Where(text)


def test_an_unknown_column_names_the_nearest():
    with pytest.raises(DataError, match=r"train.jsonl: where: .* no column 'splt'. Did you mean split\?"):
        Where('splt == "a"', where="train.jsonl").check(ROW)
    Where('split == "a" and n is null').check(ROW)
