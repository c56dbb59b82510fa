"""The rows of an embedding table nearest to a vector: exact, or by an approximate index beside a large table."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from anyclip.api.table import EmbeddingTable
from anyclip.errors import UserError

LARGE = 100_000  # rows from which an index pays


def nearest_exact(table: EmbeddingTable, query: np.ndarray, k: int, *, rows: np.ndarray | None = None):
    """(rows [k], cosine [k]) of the table nearest to `query` [dim], best first; equal scores in table order.

    rows: look among these only.
    """
    vectors = table.vectors if rows is None else table.vectors[rows]
    scores = vectors @ query.astype(np.float32)
    k = min(k, len(scores))
    top = np.argpartition(-scores, k - 1)[:k] if 0 < k < len(scores) else np.arange(len(scores))
    top = top[np.lexsort((top, -scores[top]))]
    return (top if rows is None else rows[top]), scores[top]


def nearest_indexed(table: EmbeddingTable, query: np.ndarray, k: int):
    """`nearest_exact` through the usearch index `TABLE.usearch`, built when it is missing or older than the table.

    Approximate: the index may miss rows. Raises UserError when usearch is not installed.
    """
    found = _index(table).search(query.astype(np.float32), k)
    rows = np.asarray(found.keys, dtype=np.int64)
    scores = table.vectors[rows] @ query.astype(np.float32)
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order]


def index_path(table: Path) -> Path:
    return table.with_name(table.name + ".usearch")


def has_usearch() -> bool:
    return find_spec("usearch") is not None


def _index(table: EmbeddingTable) -> Any:
    if not has_usearch():
        raise UserError(
            f"an index over {len(table)} rows needs usearch, which is not installed.",
            hint="Or search without an index: --exact.",
            next='pip install "anyclip[search]"',
        )
    from usearch.index import Index

    path, stamp_path = index_path(table.path), index_path(table.path).with_suffix(".usearch.json")
    stat = table.path.stat()
    stamp = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "rows": len(table), "dim": table.info.dim}
    if path.is_file() and stamp_path.is_file() and json.loads(stamp_path.read_text()) == stamp:
        index = Index.restore(str(path), view=True)
        if index is not None:
            return index
    index = Index(ndim=table.info.dim, metric="ip", dtype="f32")
    index.add(np.arange(len(table), dtype=np.uint64), table.vectors)
    stamp_path.unlink(missing_ok=True)  # never a stamp without its index
    index.save(str(path))
    stamp_path.write_text(json.dumps(stamp))
    return index
