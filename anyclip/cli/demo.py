"""`anyclip demo RUN_OR_TABLE`."""

from __future__ import annotations

import time

import click

from anyclip.errors import UserError


@click.command("demo")
@click.argument("path", metavar="RUN_OR_TABLE")
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="Values of each stream.")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets other machines in.")
@click.option("--port", type=click.IntRange(0, 65535), default=7860, show_default=True, help="0: any free port.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto.")
@click.option("--open", "browser", is_flag=True, help="Open a browser window.")
def command(path: str, limit: int, host: str, port: int, device: str, browser: bool) -> None:
    """Search every modality in a local page: type a text or drop a file, see the nearest items of every stream.

    A run shows its validation data; a table that `anyclip embed` wrote shows its rows. Ctrl-C ends it.
    """
    from anyclip.cli.demo_page import STYLE, build_page, theme

    _require_gradio()
    from anyclip.api.gallery import open_gallery

    gallery = open_gallery(path, limit=limit, device=device, progress=True)
    for name, reason in gallery.bad:
        click.echo(f"{name}: {reason}", err=True)
    page = build_page(gallery)
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port or None,
            inbrowser=browser,
            quiet=True,
            prevent_thread_lock=True,
            share=False,
            ssr_mode=False,
            theme=theme(),
            css=STYLE,
            footer_links=[],
        )
    except OSError as error:
        raise UserError(f"the page cannot be served: {error}", hint="Another --port, or 0 for any.") from error
    click.echo(f"{address}  (Ctrl-C ends it)")
    try:
        while True:  # until Ctrl-C
            time.sleep(3600)
    finally:
        page.close(verbose=False)


def _require_gradio() -> None:
    from importlib.util import find_spec

    if find_spec("gradio") is None:
        raise UserError("the page needs gradio, which is not installed.", next='pip install "anyclip[demo]"')
