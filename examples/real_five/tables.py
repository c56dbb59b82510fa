"""Manifests and splits: whole groups are in the test, chosen by a hash, so that no object is on both sides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

TEST_SHARE = 0.2


def split_of(group: str) -> str:
    digest = hashlib.blake2b(group.lower().encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") < TEST_SHARE * 2**64 else "train"


def write_manifest(folder: Path, rows: Iterable[dict[str, Any]]) -> None:
    rows = list(rows)
    with (folder / "manifest.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    test = sum(row["split"] == "test" for row in rows)
    print(f"{folder / 'manifest.jsonl'}: {len(rows) - test} rows for training, {test} for the test")
