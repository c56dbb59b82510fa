"""`anyclip search TABLE QUERY`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anyclip.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from anyclip.api import Model
    from anyclip.api.table import EmbeddingTable


@click.command("search")
@click.argument("table", type=click.Path(exists=True, dir_okay=False))
@click.argument("query")
@click.option("-k", "count", type=click.IntRange(min=1), default=10, show_default=True, help="Rows to show.")
@click.option(
    "--stream", help="The stream that embeds the query. Default: by the file's suffix, or the one of plain strings."
)
@click.option("--only", metavar="STREAM", help="Look among the rows of this stream only.")
@click.option("--model", type=click.Path(exists=True), help="The model, when it is no longer where the table says.")
@click.option("--exact", is_flag=True, help="Compare with every row, also in a large table.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, mps, or auto.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def command(table: str, query: str, count: int, as_json: bool, **given: Any) -> int:
    """Find the rows of an embedded table nearest to QUERY, a sentence or a file.

    The model is the one that made the table. Tables of more than 100,000 rows are searched through a usearch index
    that is kept beside them.
    """
    from anyclip.api.table import EmbeddingTable

    opened = EmbeddingTable(table)
    if not len(opened):
        raise UserError("the table holds no rows.", where=table)
    vector = _embed(_model(opened, given["model"], given["device"]), query, given["stream"], opened)
    rows, scores = _nearest(opened, vector, count, given["only"], given["exact"])
    found = [
        {
            "score": round(float(score), 6),
            "id": opened.ids[row],
            "stream": opened.streams[row],
            "value": opened.values[row],
        }
        for row, score in zip(rows.tolist(), scores.tolist())
    ]
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return 0
    _show(found)
    return 0


def _show(found: list[dict[str, Any]]) -> None:
    from anyclip.cli.output import print_table

    several = len({row["stream"] for row in found}) > 1
    shown = [
        (
            f"{row['score']:.3f}",
            *((row["stream"],) if several else ()),
            row["id"] if row["id"] == row["value"] else f"{row['id']}  {row['value']}",
        )
        for row in found
    ]
    print_table(("score", *(("stream",) if several else ()), "id"), shown, right=(0,))


def _model(table: EmbeddingTable, path: str | None, device: str) -> Model:
    """The model that made the table; refuses any other."""
    from anyclip.api import load

    where = path or table.info.model
    if not where or not Path(where).exists():
        raise UserError(
            f"the model that made the table is not at {where or 'a known place'}.",
            where=str(table.path),
            hint="Name it: --model RUN.",
        )
    model = load(where, device=device)
    if model.digest() != table.info.digest:
        raise UserError(
            f"its vectors were made by another model than the one at {where}.",
            where=str(table.path),
            hint="A run that went on training is another model.",
            next=f"anyclip embed {where} FILES -o {table.path}",
        )
    return model


def _embed(model: Model, query: str, stream: str | None, table: EmbeddingTable):
    """Unit vector [dim] of the query."""
    name = stream or _query_stream(model, query)
    vectors, bad = model.embed_reporting(model.stream(name), [query], dim=table.info.dim)
    if bad:
        raise UserError(f"the query cannot be embedded: {bad[0][1]}.", where=query)
    return vectors[0].numpy()


def _query_stream(model: Model, query: str) -> str:
    from anyclip.api.files import modality_of_file
    from anyclip.registry import get_registry

    plain = [s for s, m in model.modalities.items() if get_registry().modality(m).string_is_value]
    if os.path.isfile(query):
        claimed = modality_of_file(query, sorted(set(model.modalities.values())))
        streams = [s for s, m in model.modalities.items() if m in claimed and s not in plain]
        if len(streams) == 1:
            return streams[0]
        if streams:
            raise UserError(
                f"the streams {', '.join(streams)} could embed the file.", where=query, hint="Say --stream."
            )
    if len(plain) == 1:
        return plain[0]
    hint = did_you_mean("", model.streams, noun="Streams")
    if not plain:
        raise UserError(f"{query!r} is no file, and no stream of the model takes plain strings.", hint=hint)
    raise UserError(f"the streams {', '.join(plain)} could embed the query.", hint=f"Say --stream {plain[0]}.")


def _nearest(table: EmbeddingTable, vector: Any, count: int, only: str | None, exact: bool):
    import numpy as np

    from anyclip.api.nearest import LARGE, has_usearch, nearest_exact, nearest_indexed

    if only is not None:
        rows = np.flatnonzero(np.asarray(table.streams) == only)
        if not len(rows):
            hint = did_you_mean(only, set(table.streams), noun="Streams")
            raise UserError(f"no rows of the stream {only!r}.", where=str(table.path), hint=hint)
        return nearest_exact(table, vector, count, rows=rows)
    if exact or len(table) <= LARGE:
        return nearest_exact(table, vector, count)
    if not has_usearch():
        click.echo('searching without an index; for speed: pip install "anyclip[search]"', err=True)
        return nearest_exact(table, vector, count)
    return nearest_indexed(table, vector, count)
