"""The page of `anyclip demo`: type a text or drop a file, see the nearest items of every stream."""

from __future__ import annotations

import html
import os
import random
from typing import TYPE_CHECKING, Any

from anyclip.errors import UserError

if TYPE_CHECKING:
    from anyclip.api.gallery import Found, Gallery

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nothing leaves the machine

STYLE = """
.found { display: grid; grid-template-columns: repeat(auto-fill, minmax(166px, 1fr)); gap: 12px; margin: 8px 0 26px; }
.found figure { margin: 0; padding: 12px; border: 1px solid var(--border-color-primary); border-radius: 10px;
  background: var(--background-fill-secondary); display: flex; flex-direction: column; gap: 8px; min-width: 0; }
.found .shown { min-height: 72px; display: flex; align-items: center; justify-content: center; flex-wrap: wrap;
  overflow: hidden; }
.found .shown * { max-width: 100%; }
.found .shown img, .found .shown svg, .found .shown video { max-width: 100%; max-height: 150px; height: auto; }
.found .shown audio { width: 100% !important; }
.found .shown q { quotes: none; font-size: 1.02rem; line-height: 1.35; text-align: center; }
.found figcaption { font-size: .78rem; color: var(--body-text-color-subdued); overflow-wrap: anywhere; }
.found .bar { height: 4px; border-radius: 2px; background: var(--border-color-primary); }
.found .bar i { display: block; height: 100%; border-radius: 2px; background: var(--color-accent); }
.stream { font-weight: 600; font-size: 1.02rem; margin: 4px 0 0; }
.asked { display: flex; gap: 14px; align-items: center; margin-bottom: 14px; }
.asked img, .asked svg { max-height: 110px; width: auto; }
.trouble { color: var(--error-text-color, #b3261e); font-weight: 500; }
.soft { color: var(--body-text-color-subdued); }
"""


def build_page(gallery: Gallery) -> Any:
    """A gradio Blocks."""
    import gradio as gr

    model = gallery.model
    texts, others = gallery.text_streams, [s for s in model.streams if s not in gallery.text_streams]
    with gr.Blocks(title="anyclip", analytics_enabled=False) as page:
        gr.HTML(heading(gallery))
        with gr.Row():
            with gr.Column(scale=3):
                text = gr.Textbox(label="A text", placeholder="what to look for", visible=bool(texts), elem_id="query")
                text_stream = gr.Radio(texts, value=texts[0] if texts else None, label="Embed it as")
                text_stream.visible = len(texts) > 1
            with gr.Column(scale=2):
                file = gr.File(
                    label=f"Or a file: {', '.join(others)}", visible=bool(others), elem_id="file", height=150
                )
                file_stream = gr.Radio(others, label="Embed the file as", value=None)
                file_stream.visible = len(others) > 1
            with gr.Column(scale=1, min_width=170):
                count = gr.Slider(1, 24, value=6, step=1, label="Items of each stream")
                go = gr.Button("Search", variant="primary", elem_id="go")
                draw = gr.Button("Surprise me", elem_id="draw")
        results = gr.HTML(first_view(gallery), elem_id="results")
        by_text = {"fn": lambda *a: by_value(gallery, *a), "inputs": [text, text_stream, count], "outputs": results}
        text.submit(**by_text)
        given = [text, text_stream, file, file_stream, count]
        go.click(lambda *a: answer(gallery, *a), given, results)
        file.upload(lambda f, fs, n: by_file(gallery, f, fs, n), [file, file_stream, count], results)
        draw.click(lambda n: by_item(gallery, n), [count], results)
    return page


def theme() -> Any:
    """Fonts of the machine: the page loads nothing from elsewhere."""
    import gradio as gr

    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    return gr.themes.Default(font=fonts, font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"])


def heading(gallery: Gallery) -> str:
    model = gallery.model
    parts = [f"{len(rows):,} {html.escape(stream)}" for stream, rows in gallery.rows.items()]
    where = html.escape(str(model.path or ""))
    bad = f' <span class="trouble">{len(gallery.bad)} could not be embedded.</span>' if gallery.bad else ""
    return f"<h1>anyclip</h1><p class='soft'>{where} · joint width {model.dim} · searches {', '.join(parts)}.{bad}</p>"


def first_view(gallery: Gallery) -> str:
    """A few items of every stream, so that a visitor sees what there is."""
    sections = []
    for stream, rows in gallery.rows.items():
        cards = "".join(_card(e.id, shown) for e, shown in (gallery.item(stream, i) for i in range(min(4, len(rows)))))
        sections.append(f'<div class="stream">{html.escape(stream)}</div><div class="found">{cards}</div>')
    return "".join(sections)


def answer(gallery: Gallery, text: str, text_stream: str, file: str | None, file_stream: str | None, count: int) -> str:
    """The button: the text where there is one, else the file."""
    if text and text.strip():
        return by_value(gallery, text, text_stream, count)
    if file:
        return by_file(gallery, file, file_stream, count)
    return _trouble("Type a text or drop a file first.")


def by_value(gallery: Gallery, text: str, stream: str, count: int) -> str:
    if not text.strip():
        return _trouble("Type a text first.")
    return _search(gallery, stream, text.strip(), f"<q>{html.escape(text.strip())}</q>", count)


def by_file(gallery: Gallery, file: str | None, stream: str | None, count: int) -> str:
    if file is None:
        return first_view(gallery)
    streams = [stream] if stream else gallery.streams_of(file)
    name = os.path.basename(file)
    if not streams:
        return _trouble(f"{name}: no stream of the model takes such a file. It has {', '.join(gallery.model.streams)}.")
    if len(streams) > 1:
        return _trouble(f"{name}: {' and '.join(streams)} could embed it. Say which under the file.")
    return _search(
        gallery, streams[0], file, f"<span><b>{html.escape(name)}</b> as {html.escape(streams[0])}</span>", count
    )


def by_item(gallery: Gallery, count: int) -> str:
    """An item drawn at random, as the query."""
    stream = random.choice(list(gallery.rows))
    entry, shown = gallery.item(stream, random.randrange(len(gallery.rows[stream])))
    row = gallery.entries.index(entry)
    return _results(shown, gallery.nearest(gallery.vectors[row], count))


def _search(gallery: Gallery, stream: str, value: Any, asked: str, count: int) -> str:
    try:
        return _results(asked, gallery.search(stream, value, count))
    except UserError as error:
        return _trouble(str(error))


def _results(asked: str, found: dict[str, list[Found]]) -> str:
    sections = [f'<div class="asked"><span class="soft">nearest to</span> {asked}</div>']
    for stream, items in found.items():
        cards = "".join(_card(f.name, f.preview, f.score) for f in items)
        sections.append(f'<div class="stream">{html.escape(stream)}</div><div class="found">{cards}</div>')
    return "".join(sections)


def _card(name: str, preview: str, score: float | None = None) -> str:
    label = html.escape(os.path.basename(name) or name)
    if score is None:
        caption = f"<figcaption>{label}</figcaption>"
    else:
        bar = f'<div class="bar"><i style="width:{max(0.0, min(1.0, score)) * 100:.0f}%"></i></div>'
        caption = f"{bar}<figcaption>{score:.3f} · {label}</figcaption>"
    return f'<figure title="{html.escape(name, quote=True)}"><div class="shown">{preview}</div>{caption}</figure>'


def _trouble(text: str) -> str:
    return f'<p class="trouble">{html.escape(text)}</p>'
