"""`frame_order`: does a model tell a clip from the same clip with its halves swapped?

Two trials per clip whose caption tells an order ("right and then left"): the clip must score its caption above the
swapped caption, and the clip with its frames rolled the swapped caption above the first. Both clips hold the same
frames, so a model that does not look at their order gets exactly one of the two trials.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from anyclip.errors import BadSample, UserError
from anyclip.evaluation.base import Evaluation, Result
from anyclip.evaluation.intervals import bootstrap
from anyclip.evaluation.ranks_general import score_pair
from anyclip.inference import encode_values
from anyclip.processors import Processor
from anyclip.similarities import Prepared, Similarity, create_similarity
from anyclip_video.frame_order_options import FrameOrderOptions

if TYPE_CHECKING:
    from anyclip.evaluation.data import EvalData
    from anyclip.model import JointModel

METRIC = "order"


class FrameOrder(Evaluation):
    """Share of trials won, ties half; chance 50 %. `pair`: the streams of clips and captions, in either order."""

    options: FrameOrderOptions

    def run(self, model: JointModel, data: EvalData) -> Result:
        clips, captions = self._streams(data)
        edge = data.edge(clips, captions)
        similarity = edge.similarity if edge else create_similarity("cosine")
        forward = edge is not None and edge.pair == (clips, captions)
        rows = self._rows(data, captions)
        mine = [rows[i] for i in data.processes.share(len(rows))]
        won, bad = self._won(model, data, (clips, captions), similarity, forward, mine, total=len(rows))
        data.bad |= {(sample, clips): reason for sample, reason in data.processes.objects(bad)}
        values = np.array(data.processes.objects(won), dtype=float).reshape(-1, 2)
        label = f"{clips}->{captions}/{METRIC}"
        info = {
            "dataset": data.name,
            "pair": [clips, captions],
            "trained": data.trained(clips, captions),
            "trials": values.size,
        }
        if not len(values):
            return Result("frame_order", {}, info=info)
        per_clip = values.mean(axis=1)
        means = {label: lambda drawn: drawn.mean(axis=1)}
        intervals = bootstrap(per_clip, means, resamples=self.options.bootstrap, seed=self.options.seed)
        return Result("frame_order", {label: float(per_clip.mean())}, intervals, {label: 0.5}, info=info)

    def _streams(self, data: EvalData) -> tuple[str, str]:
        pair = self.pair or tuple(data.streams)
        texts = [stream for stream in pair if stream in data.streams and data.is_text(stream)]
        others = [stream for stream in pair if stream in data.streams and not data.is_text(stream)]
        if len(texts) != 1 or len(others) != 1:
            raise UserError(
                "frame_order needs a stream of clips and one of captions.",
                where=data.name,
                hint=f"Name them: `pair: [CLIPS, CAPTIONS]`; this dataset has {', '.join(data.streams)}.",
            )
        return others[0], texts[0]

    def _rows(self, data: EvalData, captions: str) -> list[tuple[int, str, str]]:
        """(row, caption, swapped caption) of the rows whose caption tells an order."""
        found = []
        for row in data.rows(self.options.max_rows):
            try:
                texts = [text for text in data.source.values(row, captions) if isinstance(text, str)]
            except BadSample:
                continue  # a row without a caption has no trial; retrieval counts it
            for text in texts:
                if re.search(self.options.pattern, text):
                    swapped = re.sub(self.options.pattern, self.options.swapped, text)
                    if swapped != text:
                        found.append((row, text, swapped))
                    break
        return found

    def _won(
        self,
        model: JointModel,
        data: EvalData,
        streams: tuple[str, str],
        similarity: Similarity,
        forward: bool,
        rows: Sequence[tuple[int, str, str]],
        *,
        total: int,
    ) -> tuple[list[list[float]], list[tuple[str, str]]]:
        """[1, 0.5 or 0 for the clip, the same for the rolled one] of each row; (sample, reason) of broken clips."""
        clips, captions = streams
        size = self.options.batch_size

        def encoded(stream: str, values: Sequence[Any], of: int):
            prepare = data._prepare(stream, similarity)
            calls = data.processes.calls(of, size)
            return encode_values(model, stream, values, prepare, batch_size=size, workers=data.workers, calls=calls)

        texts = encoded(captions, [text for _, *both in rows for text in both], 2 * total)
        values = _Clips(data, clips, [row for row, *_ in rows])
        plain = encoded(clips, values, total)
        with rolled(model.tower(clips), self.options.roll):
            turned = encoded(clips, values, total)
        place = {int(row): k for k, row in enumerate(plain.rows)}
        at = {int(row): k for k, row in enumerate(texts.rows)}
        won = []
        for i in range(len(rows)):
            if i in place and 2 * i in at and 2 * i + 1 in at:
                both = _rows(texts.prepared, [at[2 * i], at[2 * i + 1]])
                pair = [_rows(side.prepared, [place[i]]) for side in (plain, turned)]
                won.append(self._trial(similarity, forward, both, pair))
        bad = [(data.source.sample_id(rows[i][0]), reason) for i, reason in plain.errors]
        return won, bad

    def _trial(self, similarity: Similarity, forward: bool, texts: Prepared, clips: list[Prepared]) -> list[float]:
        """texts: the caption and the swapped one; clips: the clip and the rolled one."""
        own, other = (clip_scores(similarity, clip, texts, forward) for clip in clips)
        return [_won(float(own[0] - own[1])), _won(float(other[1] - other[0]))]


def clip_scores(similarity: Similarity, clip: Prepared, texts: Prepared, forward: bool) -> Tensor:
    """Scores [Nt] of one clip with texts, as the clip ranks them; forward: the first side is the clip's."""
    every = slice(None)
    if forward:
        return score_pair(similarity, clip, texts, every, every)[0][0]
    return score_pair(similarity, texts, clip, every, every)[1][:, 0]


def _won(difference: float) -> float:
    return 0.5 if difference == 0 else float(difference > 0)


def _rows(prepared: Prepared, rows: list[int]) -> Prepared:
    return {name: x[rows] for name, x in prepared.items()}


class _Clips(Sequence):
    """The clips of some rows, fetched when they are needed."""

    def __init__(self, data: EvalData, stream: str, rows: list[int]):
        self.data, self.stream, self.rows = data, stream, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i):
        return self.data.value(self.stream, (self.rows[i], 0))


@contextlib.contextmanager
def rolled(tower: Any, share: float) -> Iterator[None]:
    """Inside, the tower's processor gives every clip with its frames rolled by `share` of their number."""
    before = tower.processor
    tower.processor = Rolled(before, share)
    try:
        yield
    finally:
        tower.processor = before


class Rolled(Processor):
    """A processor of clips whose real frames (or feature vectors) are rolled: the later part comes first."""

    def __init__(self, inner: Processor, share: float):
        self.inner, self.share = inner, share

    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> Any:
        return self.inner.load(value, rng=rng)

    def collate(self, samples: list[Any]) -> Any:
        inputs = self.inner.collate(samples)
        named = [name for name in ("frames", "features") if isinstance(inputs, dict) and name in inputs]
        if len(named) != 1 or inputs["mask"].ndim != 2:
            raise UserError(
                "frame_order rolls the frames of a single window, which this tower's inputs do not hold.",
                hint="Use a tower of frames or features, with windows: 1.",
            )
        return {**inputs, named[0]: roll_real(inputs[named[0]], inputs["mask"], self.share)}

    def placeholder(self) -> Any:
        return self.inner.placeholder()


def roll_real(x: Tensor, mask: Tensor, share: float) -> Tensor:
    """Each row's real entries (the first n of [B, T, ...]) rolled by `round(share * n)`; padding stays."""
    out = x.clone()
    for row, n in enumerate(mask.sum(dim=1).tolist()):
        out[row, :n] = x[row, :n].roll(-round(share * n), dims=0)
    return out
