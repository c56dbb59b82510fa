"""The sections of a report that show what was measured: numbers, similarity matrix, examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from anyclip.evaluation.base import Result, show, unit
from anyclip.evaluation.report.content import Previews
from anyclip.evaluation.report.tables import table

# a perceptually even ramp from dark to light (five stops of viridis)
_RAMP = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))


def _show(metric: str, value: float | None) -> str:
    return show(metric, value, missing="–")


def tiles(results: Sequence[Result]) -> str:
    """The first number of every direction, with its interval and how often chance it is."""
    cells = []
    for result in results:
        seen: set[str] = set()
        for name, value in result.numbers.items():
            label = name.rpartition("/")[0]
            if label in seen or value is None or unit(name) == "plain":
                continue
            seen.add(label)
            low_high = result.intervals.get(name)
            spread = f"{100 * low_high[0]:.1f}–{100 * low_high[1]:.1f} %" if low_high else ""
            chance = result.chance.get(name)
            times = f"{value / chance:,.3g} × chance" if chance else ""
            note = " · ".join(part for part in (spread, times) if part)
            what = f"{label.replace('->', ' → ')} {name.rpartition('/')[2]}"
            cells.append(f"<li>{escape(what)}<b>{_show(name, value)}</b><span class='soft'>{escape(note)}</span></li>")
    return f'<ul class="tiles">{"".join(cells[:8])}</ul>' if cells else ""


def number_tables(results: Sequence[Result]) -> str:
    """A table per evaluation: a row per direction or stream, a column per metric."""
    return "".join(_number_table(result) for result in results if result.numbers)


def _number_table(result: Result) -> str:
    metrics = list(dict.fromkeys(name.rpartition("/")[2] for name in result.numbers))
    labels = list(dict.fromkeys(name.rpartition("/")[0] for name in result.numbers))
    head = "".join(f'<th scope="col" class="num">{escape(m.replace("_", " "))}</th>' for m in metrics)
    rows = "".join(_number_row(result, label, metrics) for label in labels)
    title = escape(result.name.replace("_", " "))
    return (
        f'<div class="wide"><table><caption>{escape(_describe(result))}</caption>'
        f'<thead><tr><th scope="col">{title}</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _number_row(result: Result, label: str, metrics: Iterable[str]) -> str:
    cells = []
    for metric in metrics:
        name = f"{label}/{metric}"
        extra = []
        if name in result.intervals:
            low, high = (_show(name, v).removesuffix(" %") for v in result.intervals[name])
            extra.append(f"{low}–{high}")
        if result.chance.get(name) is not None:
            extra.append(f"chance {_show(name, result.chance[name])}")
        small = f'<br><small class="soft">{escape(" · ".join(extra))}</small>' if extra else ""
        cells.append(f'<td class="num">{_show(name, result.numbers.get(name))}{small}</td>')
    return f'<tr><th scope="row">{escape(label.replace("->", " → "))}</th>{"".join(cells)}</tr>'


def _describe(result: Result) -> str:
    """What the numbers are about, in a line."""
    info = result.info
    parts = [str(info["dataset"])] if info.get("dataset") else []
    if info.get("items"):
        parts.append(", ".join(f"{stream}: {n:,} different" for stream, n in info["items"].items()))
    for key, word in (("rows", "rows"), ("classes", "classes"), ("training_rows", "training rows")):
        if info.get(key) is not None:
            parts.append(f"{info[key]:,} {word}")
    if info.get("trained") is not None:
        parts.append(_trained(info))
    if info.get("bad"):
        parts.append(f"{info['bad']['values']:,} broken values left out")
    return " · ".join(parts)


def _trained(info: dict[str, Any]) -> str:
    through = info.get("through")
    if isinstance(info["trained"], dict):
        emergent = [label for label, trained in info["trained"].items() if not trained]
        return f"never trained together (emergent): {', '.join(emergent)}" if emergent else "trained pairs"
    if info["trained"]:
        return "a trained pair"
    return "never trained together (emergent" + (f", bound through {', '.join(through)})" if through else ")")


def matrices(results: Sequence[Result], previews: Previews) -> str:
    """Similarity matrices: a row per item of the first stream, its right answer on the diagonal."""
    return "".join(
        _matrix(example, result, previews)
        for result in results
        for example in result.examples
        if example["kind"] == "matrix"
    )


def _matrix(example: dict[str, Any], result: Result, previews: Previews) -> str:
    flat = [x for row in example["scores"] for x in row]
    low, high = min(flat), max(flat)
    a, b = (escape(example[side][0]["stream"]) for side in ("a", "b"))
    dataset = result.info.get("dataset", "")
    numbers = "".join(
        f'<th scope="col" title="{escape(p["id"], True)}">{j + 1}</th>' for j, p in enumerate(example["b"])
    )
    body = []
    for i, row in enumerate(example["scores"]):
        cells = "".join(_cell(x, colour(x, low, high), i == j) for j, x in enumerate(row))
        places = (example["a"][i], example["b"][i])
        labels = "".join(f'<td class="label">{_preview(previews, dataset, place)}</td>' for place in places)
        body.append(f'<tr><th scope="row" class="soft num">{i + 1}</th>{labels}{cells}</tr>')
    ramp = ",".join(f"rgb{c}" for c in _RAMP)
    return (
        f"<h3>{a} and {b}</h3>"
        f'<div class="wide"><table class="matrix"><caption>A row for each {a}; the columns are the {b} of the row with '
        f"that number. Framed: what belongs together.</caption>"
        f"<thead><tr><th></th><th>{a}</th><th>{b}</th>{numbers}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
        f'<div class="scale"><span>{low:.2f}</span>'
        f'<span class="ramp" style="background:linear-gradient(90deg,{ramp})"></span><span>{high:.2f}</span></div>'
    )


def _cell(value: float, fill: str, own: bool) -> str:
    return f'<td class="cell{" own" if own else ""}" style="background:{fill}" title="{value:.3f}"></td>'


def colour(value: float, low: float, high: float) -> str:
    """A colour of the ramp, dark for low."""
    place = (value - low) / (high - low) * (len(_RAMP) - 1) if high > low else 0.0
    k = min(int(place), len(_RAMP) - 2)
    mixed = (round(p + (q - p) * (place - k)) for p, q in zip(_RAMP[k], _RAMP[k + 1]))
    return "#" + "".join(f"{c:02x}" for c in mixed)


def examples(results: Sequence[Result], previews: Previews) -> str:
    """Queries with what they found, those that went well and those that did not."""
    parts = []
    for result in results:
        queries = [e for e in result.examples if e["kind"] == "query"]
        for direction in dict.fromkeys(e["direction"] for e in queries):
            parts.append(f"<h3>{escape(direction.replace('->', ' → '))}</h3>")
            for quality, title in (("good", "Found at once"), ("bad", "Furthest from found")):
                rows = [e for e in queries if e["direction"] == direction and e["quality"] == quality]
                if rows:
                    shown = "".join(_query(e, result.info.get("dataset", ""), previews) for e in rows)
                    parts.append(f'<p class="soft">{title}</p><div class="rows">{shown}</div>')
    return "".join(parts)


def _query(example: dict[str, Any], dataset: str, previews: Previews) -> str:
    found = [_candidate(place, dataset, previews) for place in example["found"]]
    answer = example["answer"]
    if answer is not None and not any(place["right"] for place in example["found"]):
        found.append(
            f'<li class="answer"><div class="preview">{_preview(previews, dataset, answer)}</div>'
            f"<small>{answer['score']:.3f} · <b>the right one</b></small></li>"
        )
    asked = _preview(previews, dataset, example["query"])
    return (
        f'<div class="row"><div class="asked"><div class="preview">{asked}</div>'
        f'<div class="rank">rank {example["rank"]:g}</div></div><ul class="found">{"".join(found)}</ul></div>'
    )


def _candidate(place: dict[str, Any], dataset: str, previews: Previews) -> str:
    mark, style = (" · <b>right</b>", ' class="right"') if place["right"] else ("", "")
    return (
        f'<li{style}><div class="preview">{_preview(previews, dataset, place)}</div>'
        f"<small>{place['score']:.3f}{mark}</small></li>"
    )


def _preview(previews: Previews, dataset: str, place: dict[str, Any]) -> str:
    return previews.html(dataset, place) or f"<code>{escape(place['id'])}</code>"


def confusions(results: Sequence[Result]) -> str:
    """The classes that classification gets wrong most often."""
    parts = []
    for result in results:
        rows = [
            (
                example["class"],
                f"{100 * example['accuracy']:.1f} %",
                f"{example['rows']:,}",
                ", ".join(f"{name} ({n})" for name, n in example["taken_for"]),
            )
            for example in result.examples
            if example["kind"] == "confusion"
        ]
        if rows:
            title = f"{escape(result.name.replace('_', ' '))}: classes of the lowest accuracy"
            parts.append(f"<h3>{title}</h3>{table(('class', 'accuracy', 'rows', 'taken for'), rows, right=(1, 2))}")
    return "".join(parts)
