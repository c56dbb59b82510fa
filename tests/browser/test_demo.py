"""The demo page in a real headless browser. Skipped, saying so, without gradio, playwright or Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("gradio")
api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium is installed (apt install chromium)", allow_module_level=True)
pytestmark = pytest.mark.timeout(180)

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    """An untrained image-text model with synthetic validation data."""
    pytest.importorskip("anyclip_image")
    pytest.importorskip("anyclip_text")
    from anyclip.checkpoint import save_model_folder
    from anyclip.config import config_from_dict
    from anyclip.model import build_model
    from anyclip.registry import get_registry

    towers = {}
    for stream, name in (("image", "image/open_clip"), ("text", "text/open_clip")):
        towers[stream] = {"name": name, "options": dict(get_registry().spec("tower", name).tiny)}
    config = config_from_dict(
        {
            "model": {"dim": 16, "towers": towers},
            "objectives": [{"pair": ["image", "text"]}],
            "data": {"val": [{"name": "synthetic", "options": {"size": 12, "split": "val"}}]},
        }
    )
    return save_model_folder(tmp_path_factory.mktemp("demo") / "model", build_model(config.model, seed=0), config)


@pytest.fixture(scope="module")
def address(run_folder: Path) -> Iterator[str]:
    """The page, served by the command itself."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "anyclip", "demo", str(run_folder), "--port", "0", "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1"), line
        yield line.split()[0]
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=30)
    assert code == 130


@pytest.fixture(scope="module")
def page(address: str):
    """The page in Chromium; anything that it asks of another machine fails the test."""
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1100})
        outside: list[str] = []
        page.on("request", lambda r: None if r.url.startswith((address, "data:", "blob:")) else outside.append(r.url))
        page.goto(address)
        page.wait_for_selector("#results figure", timeout=60_000)
        yield page
        assert outside == []
        browser.close()


def test_text_finds_pictures_and_texts(page):
    assert page.locator("#results .stream").all_inner_texts() == ["image", "text"]
    page.fill("#query textarea", "a red circle")
    page.click("#go")
    page.wait_for_selector("#results .asked q")
    assert page.locator("#results .asked").inner_text().endswith("a red circle")
    assert page.locator("#results figure").count() == 12
    assert page.locator("#results .shown img").count() == 6
    if os.environ.get("ANYCLIP_SCREENSHOTS"):
        page.screenshot(path=f"{os.environ['ANYCLIP_SCREENSHOTS']}/demo.png", full_page=True)


def test_a_dropped_file_is_a_query_or_a_message(page, tmp_path: Path):
    from PIL import Image

    Image.new("RGB", (40, 40), "red").save(tmp_path / "red.png")
    page.set_input_files("#file input[type=file]", tmp_path / "red.png")
    page.wait_for_selector("#results .asked b")
    assert "red.png as image" in page.locator("#results .asked").inner_text()
    page.locator("#file button[aria-label='Clear'], #file button[aria-label='Remove this file']").first.click()
    (tmp_path / "notes.xyz").write_text("?")
    page.set_input_files("#file input[type=file]", tmp_path / "notes.xyz")
    page.wait_for_selector("#results .trouble")
    assert "notes.xyz: no stream of the model takes such a file" in page.locator("#results").inner_text()


def test_any_item_is_a_query(page):
    page.click("#draw")
    page.wait_for_selector("#results .asked img, #results .asked q")
    assert page.locator("#results figure").count() == 12
