"""Plain tables of a report."""

from __future__ import annotations

from html import escape


def table(headers: tuple[str, ...], rows: list[tuple[str, ...]], *, right: tuple[int, ...] = ()) -> str:
    """An HTML table of plain text; `right` are the columns of numbers."""
    style = [' class="num"' if i in right else "" for i in range(len(headers))]
    head = "".join(f'<th scope="col"{style[i]}>{escape(h)}</th>' for i, h in enumerate(headers))
    body = "".join(
        "<tr>" + "".join(f"<td{style[i]}>{escape(c)}</td>" for i, c in enumerate(row)) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
