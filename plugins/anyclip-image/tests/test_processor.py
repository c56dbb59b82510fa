"""Preprocessing against torchvision's transforms; backends; extreme shapes; augmentation."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
import torch
from anyclip_image import processor as module
from anyclip_image.augment import crop_box
from anyclip_image.options import ImageOptions
from anyclip_image.processor import CLIP_MEAN, CLIP_STD, ImageProcessor, Preprocess
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.functional import InterpolationMode

from anyclip.errors import ConfigError, UserError
from anyclip.registry import get_registry

from .conftest import photo

SHAPES = [(48, 64), (64, 48), (33, 97), (200, 201), (31, 31), (17, 90)]
MODES = {"bicubic": InterpolationMode.BICUBIC, "bilinear": InterpolationMode.BILINEAR}


def processor(preprocess: Preprocess | None = None, **options) -> ImageProcessor:
    return ImageProcessor(preprocess or Preprocess(size=(32, 32)), ImageOptions(**options))


def jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.mark.parametrize("interpolation", MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_pil_backend_equals_torchvision_transforms(shape, interpolation):
    """open_clip's own evaluation transform, bit for bit."""
    transform = v2.Compose(
        [
            v2.Resize(32, interpolation=MODES[interpolation]),
            v2.CenterCrop(32),
            v2.PILToTensor(),
        ]
    )
    image = Image.fromarray(photo(*shape))
    ours = processor(backend="pil", interpolation=interpolation)
    sample = ours.load(image)
    assert torch.equal(sample, transform(image))
    expected = v2.Normalize(CLIP_MEAN, CLIP_STD)(sample.float().div(255))
    assert torch.equal(ours.collate([sample, sample])["pixels"][1], expected)


def test_open_clip_transform():
    import open_clip

    transform = open_clip.image_transform(32, is_train=False, mean=CLIP_MEAN, std=CLIP_STD)
    image = Image.fromarray(photo(60, 80))
    ours = processor(backend="pil")
    assert torch.equal(ours.collate([ours.load(image)])["pixels"][0], transform(image))


@pytest.mark.parametrize("crop", ["center", "squash", "pad"])
@pytest.mark.parametrize("shape", SHAPES)
def test_backends_agree_within_one(shape, crop):
    data = jpeg(photo(*shape))
    fast = processor(backend="torchvision", eval_crop=crop).load(data).int()
    exact = processor(backend="pil", eval_crop=crop).load(data).int()
    assert (fast - exact).abs().max() <= 1
    assert (fast - exact).abs().float().mean() < 0.05


def test_crop_pct_and_squash():
    pixels = photo(100, 100)
    framed = Preprocess(size=(28, 28), crop_pct=0.875)
    image = Image.fromarray(pixels)
    expected = v2.Compose([v2.Resize(32, interpolation=MODES["bicubic"]), v2.CenterCrop(28), v2.PILToTensor()])(image)
    assert torch.equal(processor(framed, backend="pil").load(pixels), expected)
    squashed = processor(backend="pil", eval_crop="squash").load(photo(20, 90))
    expected = image_tensor(Image.fromarray(photo(20, 90)).resize((32, 32), Image.Resampling.BICUBIC))
    assert torch.equal(squashed, expected)


def image_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def test_pad_keeps_the_whole_image():
    white = np.full((10, 40, 3), 255, np.uint8)
    sample = processor(eval_crop="pad", mean=[0.0, 0.5, 1.0], std=[1.0, 1.0, 1.0]).load(white)
    assert sample.shape == (3, 32, 32)
    assert (sample[:, 12:20] == 255).all()
    assert sample[:, 0, 0].tolist() == [0, 128, 255]


def test_rectangles():
    sample = processor(image_size=[24, 48]).load(photo(100, 100))
    assert sample.shape == (3, 24, 48)


@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1), (2, 3000), (1, 1)])
@pytest.mark.parametrize("crop", ["center", "squash", "pad"])
@pytest.mark.parametrize("backend", ["pil", "torchvision"])
def test_extreme_shapes_need_no_huge_intermediate(shape, crop, backend):
    pixels = photo(64, 64)[:1, :1].repeat(shape[0], 0).repeat(shape[1], 1)
    p = processor(Preprocess(size=(224, 224)), eval_crop=crop, backend=backend)
    tracemalloc.start()
    sample = p.load(pixels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sample.shape == (3, 224, 224)
    assert peak < 20e6
    train = p.load(pixels, rng=np.random.Generator(np.random.Philox(0)))
    assert train.shape == (3, 224, 224)


def test_the_window_of_a_long_image_equals_the_full_resize():
    """Beyond sixteen times the output only the window is resampled: the same pixels within one level."""
    pixels = photo(20, 400)
    window = processor(backend="pil").load(pixels).int()
    full = Image.fromarray(pixels).resize((640, 32), Image.Resampling.BICUBIC).crop((304, 0, 336, 32))
    assert (window - image_tensor(full).int()).abs().max() <= 1


def test_draft_is_close():
    data = jpeg(photo(512, 512))
    drafted, exact = processor(draft=True).load(data).int(), processor().load(data).int()
    assert not torch.equal(drafted, exact)
    assert (drafted - exact).abs().float().mean() < 3


def test_augmentation_repeats_from_its_generator_and_differs_between_draws():
    p = processor(augment="strong")
    one = [p.load(photo(), rng=np.random.Generator(np.random.Philox([1, i]))) for i in range(6)]
    two = [p.load(photo(), rng=np.random.Generator(np.random.Philox([1, i]))) for i in range(6)]
    assert all(torch.equal(a, b) for a, b in zip(one, two))
    assert len({a.numpy().tobytes() for a in one}) == 6
    assert torch.equal(p.load(photo()), p.load(photo()))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    p.load(photo(), rng=np.random.Generator(np.random.Philox(1)))
    assert torch.equal(torch.get_rng_state(), before)


def test_parts_of_the_augmentation():
    def draws(n: int = 30, **options):
        p = processor(augment="none", backend="pil", **options)
        rng = np.random.Generator(np.random.Philox(2))
        return p.load(photo(32, 32)), [p.load(photo(32, 32), rng=rng) for _ in range(n)]

    plain, same = draws()
    assert all(torch.equal(s, plain) for s in same)
    plain, flipped = draws(flip=1.0)
    assert all(torch.equal(s, plain.flip(2)) for s in flipped)
    plain, gray = draws(grayscale=1.0)
    assert all(torch.equal(s[0], s[1]) and torch.equal(s[1], s[2]) for s in gray)
    plain, bright = draws(jitter=[0.5, 0.0, 0.0, 0.0], jitter_prob=1.0)
    means = [s.float().mean() / plain.float().mean() for s in bright]
    assert min(means) < 0.75
    assert max(means) > 1.15
    plain, hue = draws(jitter=[0.0, 0.0, 0.0, 0.5], jitter_prob=1.0)
    assert len({s.numpy().tobytes() for s in hue}) > 20
    assert all((s.amax(0).float() - plain.amax(0).float()).abs().max() <= 4 for s in hue)  # HSV value stays


def test_random_crops_keep_their_ranges():
    rng = np.random.Generator(np.random.Philox(0))
    areas, shapes = [], []
    for _ in range(300):
        top, left, h, w = crop_box(300, 400, rng, (0.2, 0.6), (0.75, 4 / 3))
        assert 0 <= top <= 300 - h
        assert 0 <= left <= 400 - w
        areas.append(h * w / 120_000)
        shapes.append(w / h)
    assert 0.19 < min(areas) < 0.25
    assert 0.5 < max(areas) < 0.61
    assert 0.74 < min(shapes) < 0.8
    assert 1.25 < max(shapes) < 1.35
    assert crop_box(1, 4000, rng, (0.9, 1.0), (0.75, 4 / 3)) == (0, 1999, 1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": [1, 2, 3]}, "image_size is a number or"),
        ({"mean": [0.5]}, "mean takes 3 numbers, not 1"),
        ({"std": [0.0, 1.0, 1.0]}, "std must be positive"),
        ({"crop_scale": [0.5, 0.2]}, r"crop_scale is \[smallest, largest\]"),
        ({"crop_scale": [0.5, 1.2]}, "at most 1"),
        ({"jitter": [0.1, 0.1, 0.1, 0.9]}, "hue in 0..0.5"),
        ({"augment": "hard"}, "augment"),
        ({"patch_dropout": 1.0}, "patch_dropout"),
        ({"max_pixels": 10**9}, "max_pixels"),
        ({"imagesize": 32}, "Did you mean image_size"),
    ],
)
def test_option_mistakes(options, message):
    with pytest.raises(ConfigError, match=message):
        get_registry().build_options("tower", "image/timm", options)


def test_a_missing_decoder_is_said(monkeypatch):
    monkeypatch.setattr(module, "_torchvision_decodes", lambda: False)
    assert processor().backend == "pil"
    with pytest.raises(UserError, match="libjpeg"):
        processor(backend="torchvision")


def test_the_key_follows_the_settings():
    assert processor().key() == processor().key()
    assert processor().key() != processor(mean=[0.5, 0.5, 0.5]).key()
