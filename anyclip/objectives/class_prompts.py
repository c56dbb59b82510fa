"""Classification by prompts as a training loss: each row against the sentences of every class, not of its batch.

The few-shot training of adapters: Zhang et al. 2022 (PointCLIP), arXiv 2112.02413, section 3.3; Gao et al. 2021
(CLIP-Adapter), arXiv 2110.04544.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.data.digests import text_number
from anyclip.data.prompts import filled
from anyclip.errors import UserError
from anyclip.losses.base import at_least_fp32
from anyclip.model import JointModel
from anyclip.objectives.base import Objective, StepContext
from anyclip.objectives.options import ClassPromptsOptions
from anyclip.objectives.simsiam import own_rows


class ClassPrompts(Objective):
    """Cross entropy of `scale` x the cosines with each class's prompts; the prompts are embedded once, before the run.

    A class is the mean direction of its sentences, as in the evaluation `zero_shot`. fields: `label` [N], the name of
    the class, or its number in `classes`.
    """

    fields = ("label",)
    prototypes: Tensor

    def __init__(self, options: ClassPromptsOptions, dim: int):
        super().__init__()
        self.options, self.streams = options, (options.stream,)
        self.numbers = torch.tensor([text_number(name) for name in options.classes])
        self.register_buffer("prototypes", torch.zeros(len(options.classes), dim))

    @classmethod
    def from_options(cls, options: ClassPromptsOptions, *, model: JointModel) -> ClassPrompts:
        stream = options.prompt_stream
        parts = (model.tower(stream), model.projection(stream))
        if any(p.requires_grad for part in parts for p in part.parameters()):
            raise UserError(
                f"class_prompts embeds its sentences once, but {stream!r} learns.",
                where=f"model.towers.{stream}",
                hint="Set `freeze: true`, and `projection: identity` or `freeze_projection: true`.",
            )
        return cls(options, model.dim)

    def begin(self, model: JointModel) -> None:
        processor = model.processor(self.options.prompt_stream)
        for i, sentences in enumerate(filled(self.options.templates, self.options.classes)):
            inputs = processor.collate([processor.load(sentence) for sentence in sentences])
            with torch.no_grad():
                vectors = model.embed(self.options.prompt_stream, inputs)
            self.prototypes[i] = F.normalize(vectors.mean(dim=0), dim=-1)

    def forward(self, ctx: StepContext) -> dict[str, Tensor]:
        (stream,) = self.streams
        if not ctx.count(stream):
            return {"loss": self.zero(ctx)}
        rows = ctx.rows(stream)
        labels = self._classes(self.field(ctx, "label", rows))[ctx.local(rows)]
        features = own_rows(ctx, stream, F.normalize(at_least_fp32(ctx.features(stream)), dim=-1), rows)
        logits = self.options.scale * features @ self.prototypes.to(features.dtype).T
        loss = F.cross_entropy(logits, labels, label_smoothing=self.options.label_smoothing, reduction="sum")
        return {"loss": loss / len(rows)}

    def _classes(self, labels: Tensor) -> Tensor:
        """The classes' numbers [N] of labels: names that became numbers, or numbers."""
        count = len(self.numbers)
        if not labels.is_floating_point() and bool(((labels >= 0) & (labels < count)).all()):
            return labels.long()
        same = labels[:, None] == self.numbers.to(labels.device)
        missing = int((~same.any(dim=1)).sum())
        if missing:
            raise UserError(
                f"class_prompts: {missing} of {len(labels)} rows of a batch have a label that is none of the classes.",
                hint="Name every class under `classes`, or read only its rows (`where`).",
            )
        return same.int().argmax(dim=1)
