"""Decoding: every kind of value, the shared broken files, limits; alpha, depth and orientation."""

from __future__ import annotations

import io
import pathlib
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from anyclip_image.decode import decode
from PIL import Image

from anyclip.errors import BadSample
from anyclip.readers import Blob

from .conftest import BROKEN, expected_images, photo


def encoded(image, kind: str = "PNG", **kwargs) -> bytes:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    buffer = io.BytesIO()
    image.save(buffer, kind, **kwargs)
    return buffer.getvalue()


def test_every_kind_of_value(tmp_path):
    pixels = photo()
    data = encoded(pixels)
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    values = [
        str(path),
        path,
        f"file://{path}",
        data,
        bytearray(data),
        Blob(data, "x.png"),
        {"bytes": data, "path": None},
        {"bytes": None, "path": str(path)},
        pixels,
        pixels.astype(np.int64),
        pixels.astype(np.float32) / 255,
        pixels.astype(np.uint16) * 257,
        np.concatenate([pixels, np.full_like(pixels[:, :, :1], 255)], axis=2),
        Image.fromarray(pixels),
        torch.from_numpy(pixels).permute(2, 0, 1),
        torch.from_numpy(pixels).permute(2, 0, 1).float() / 255,
    ]
    for value in values:
        found = decode(value)
        assert found.dtype == np.uint8
        assert np.array_equal(found, pixels), type(value)
    gray = pixels[:, :, 0]
    for value in (gray, gray[:, :, None], torch.from_numpy(gray), torch.from_numpy(gray)[None], encoded(gray)):
        assert np.array_equal(decode(value), np.repeat(gray[:, :, None], 3, axis=2))
    assert decode(gray > 128).max() == 255


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "image bytes: the file is empty"),
        (Blob(b"<html>", "page.jpg"), "page.jpg: not an image in a format that can be read"),
        ("nowhere/x.png", "nowhere/x.png: no such file"),
        ("nosuchscheme://x.png", "nosuchscheme://x.png: cannot be read"),
        (12, "an image is a path, bytes, array or PIL image, not int"),
        (np.zeros((4, 4, 5), np.uint8), r"this has shape \(4, 4, 5\)"),
        (np.zeros((0, 4, 3), np.uint8), r"this has shape \(0, 4, 3\)"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.full((4, 4), 200.0), "float pixels lie in 0..1"),
        (np.full((4, 4), 300), "not int64 beyond 0..255"),
        ({"bytes": None, "path": None}, "not dict"),
    ],
)
def test_what_cannot_be_decoded_says_why(value, reason):
    with pytest.raises(BadSample, match=reason):
        decode(value)


@pytest.mark.parametrize("backend", ["pil", "torchvision"])
@pytest.mark.parametrize("row", expected_images(), ids=lambda row: pathlib.Path(row["file"]).name)
def test_broken_files(row, backend):
    path = BROKEN / row["file"]
    if row["expect"].startswith("ok"):
        pixels = decode(path, backend=backend)
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
    else:
        with pytest.raises(BadSample, match=path.name):
            decode(path, backend=backend)


def test_details_of_the_broken_files(broken):
    image = broken / "image"
    good = decode(image / "good.png")
    assert np.abs(decode(image / "cmyk.jpg").astype(int) - good).mean() < 10
    deep = decode(image / "gray16.png")
    assert deep.min() < 10
    assert deep.max() > 245
    assert len(np.unique(deep)) > 50
    assert (decode(image / "all_transparent.png") == 255).all()
    assert decode(image / "one_pixel.png").shape == (1, 1, 3)
    assert decode(image / "line_4000x1.png").shape in ((1, 4000, 3), (4000, 1, 3))
    with Image.open(image / "animated.gif") as gif:
        assert gif.n_frames == 3
        assert np.array_equal(decode(image / "animated.gif"), np.asarray(gif.convert("RGB")))


def test_orientation_is_applied():
    pixels = photo(24, 48)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode(encoded(pixels, exif=exif.tobytes()))
    assert np.array_equal(turned, np.rot90(pixels, -1))
    for backend in ("pil", "torchvision"):
        assert decode(encoded(pixels, "JPEG", exif=exif.tobytes()), backend=backend).shape == (48, 24, 3)


def test_transparency_is_laid_over_white():
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, 1] = (255, 0, 0, 128)
    rgba[0, 2] = (0, 0, 255, 255)
    expected = [[255, 255, 255], [255, 127, 127], [0, 0, 255]]
    for value in (rgba, encoded(rgba), torch.from_numpy(rgba).permute(2, 0, 1), Image.fromarray(rgba)):
        assert decode(value)[0].tolist() == expected
    keyed = encoded(Image.new("RGB", (2, 2), (9, 9, 9)), transparency=(9, 9, 9))
    assert (decode(keyed) == 255).all()


def test_deep_pictures_are_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    expected = np.arange(256).reshape(16, 16)
    for value in (ramp, encoded(Image.fromarray(ramp)), encoded(Image.fromarray(ramp), "TIFF")):
        assert np.array_equal(decode(value)[:, :, 0], expected)
    floats = (expected / 255).astype(np.float32)
    assert np.array_equal(decode(encoded(Image.fromarray(floats), "TIFF"))[:, :, 1], expected)
    heat = np.linspace(-40, 120, 256, dtype=np.float32).reshape(16, 16)
    assert np.array_equal(decode(encoded(Image.fromarray(heat), "TIFF"))[:, :, 2], expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_truncated_files_are_refused(kind):
    data = encoded(photo(200, 200), kind)
    for share in (0.2, 0.5, 0.9):
        with pytest.raises(BadSample, match="cut"):
            decode(Blob(data[: int(len(data) * share)], "cut.bin"), backend="torchvision")


def test_flipped_bytes_never_escape_as_another_error():
    rng = np.random.Generator(np.random.Philox(0))
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"):
        data = np.frombuffer(encoded(photo(), kind), np.uint8)
        for _ in range(40):
            bad = data.copy()
            bad[rng.integers(0, len(bad), 4)] = rng.integers(0, 256, 4)
            try:
                assert decode(bad.tobytes(), backend="torchvision").shape[2] == 3
            except BadSample as error:
                assert error.reason.startswith("image bytes: ")  # noqa: PT017 (most flips still decode)


def test_the_limit_is_on_pixels_and_comes_before_decoding():
    data = encoded(photo(40, 50))
    assert decode(data, max_pixels=2000).shape == (40, 50, 3)
    for value in (data, photo(40, 50), Image.fromarray(photo(40, 50))):
        with pytest.raises(BadSample, match=r"50 x 40 pixels is above the limit of 1999 \(option max_pixels\)"):
            decode(value, max_pixels=1999)


def test_bombs_allocate_nothing(broken):
    code = (
        "import sys, resource\n"
        "from anyclip_image.decode import decode\n"
        "from anyclip.errors import BadSample\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        decode(path); sys.exit(f'{path} decoded')\n"
        "    except BadSample: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    files = [str(broken / "image" / f) for f in ("bomb_header_60000.png", "bomb_full_20000.png")]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100_000  # KiB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0


def test_torchvision_gives_the_same_pixels():
    for seed, (quality, subsampling) in enumerate([(95, 0), (75, 2), (30, 1)]):
        data = encoded(photo(123, 245, seed), "JPEG", quality=quality, subsampling=subsampling, progressive=seed == 1)
        assert np.array_equal(decode(data, backend="torchvision"), decode(data, backend="pil"))


def test_draft_reduces_large_jpegs_only():
    data = encoded(photo(480, 640), "JPEG", quality=95)
    assert decode(data, draft=(16, 16)).shape == (120, 160, 3)
    assert decode(data, draft=(60, 60)).shape == (240, 320, 3)
    assert decode(data, draft=(224, 224)).shape == (480, 640, 3)
    assert decode(encoded(photo(480, 640)), draft=(16, 16)).shape == (480, 640, 3)
