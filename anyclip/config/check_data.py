"""Checks of `data`: datasets, their fields, loading."""

from __future__ import annotations

from anyclip.config.checking import Checking
from anyclip.config.schema import SourceConfig
from anyclip.config.source import Key
from anyclip.errors import did_you_mean


def check_data(checking: Checking) -> None:
    """Check the datasets and what is asked of them."""
    data = checking.config.data
    for group, sources in (("train", data.train), ("val", data.val)):
        for i, source in enumerate(sources):
            key = ("data", group, i)
            checking.part("reader", source.name, source.options, (*key, "name"), (*key, "options"))
            _check_fields(checking, source, key)
    for i, _ in enumerate(data.val):
        checking.idle(("data", "val", i, "weight"), "validation data is not mixed.")
        checking.idle(("data", "val", i, "length"), "it groups the rows of training.")
    for i, source in enumerate(data.train):
        if source.length and (data.mixing == "sample" or data.sampler is not None):
            key, others = ("data", "train", i, "length"), (("data", "mixing"), ("data", "sampler"))
            checking.add(key, "it needs `mixing: batch` and no `sampler`.", *others)
    if data.sampler is not None:
        where = ("data", "sampler")
        checking.part("sampler", data.sampler.name, data.sampler.options, (*where, "name"), (*where, "options"))
        checking.stream_options(data.sampler.options, (*where, "options"))
        checking.idle(("data", "mixing"), "the sampler says what a batch holds.", where)
    if data.workers == 0:
        checking.idle(("data", "prefetch"), "with workers: 0 nothing is loaded ahead.", ("data", "workers"))
    train = checking.config.train
    per_node = len(train.devices) if isinstance(train.devices, list) else train.devices
    if isinstance(per_node, int) and data.batch_size < per_node * train.num_nodes:
        many = per_node * train.num_nodes
        message = f"{data.batch_size} samples cannot be shared by {many} processes; batch_size is global."
        checking.add(("data", "batch_size"), message, ("train", "devices"), ("train", "num_nodes"))


def _check_fields(checking: Checking, source: SourceConfig, key: Key) -> None:
    """A field is a stream, a used view of one, or a column that an objective or evaluation asks for."""
    config = checking.config
    views = {name for o in config.objectives for name in o.pair or ()}
    for name in source.fields:
        field_key = (*key, "fields", name)
        base, hash_, _ = name.partition("#")
        if base in config.model.towers:
            if hash_ and checking.stream(name, field_key) and name not in views | checking.asked:
                checking.idle(field_key, f"no objective uses {name}.", ("objectives",))
        elif base not in checking.asked:
            hint = did_you_mean(base, checking.streams, noun="Streams")
            message = f"no stream, and no objective or evaluation asks for this field. {hint}"
            checking.add(field_key, message, ("model", "towers"), ("objectives",), ("eval",))
