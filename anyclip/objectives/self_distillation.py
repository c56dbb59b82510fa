"""Self-distillation: a masked view learns what a moving average of the tower says of the whole.

The average as teacher: Tarvainen & Valpola 2017, arXiv 1703.01780; predicting its output: Grill et al. 2020 (BYOL),
arXiv 2006.07733; from a masked view, beside a contrastive loss: Dong et al. 2022 (MaskCLIP), arXiv 2208.12262.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from anyclip.errors import UserError
from anyclip.model import JointModel
from anyclip.model.buffers import batch_norm_in_eval
from anyclip.objectives.base import Objective, StepContext
from anyclip.objectives.heads import Head
from anyclip.objectives.options import SelfDistillationOptions
from anyclip.objectives.simsiam import negative_cosine, own_rows
from anyclip.processors.base import to_dtype
from anyclip.projections import module_dtype
from anyclip.towers import Encoding, Tower


class SelfDistillation(Objective):
    """1 + mean over rows of -cos(head(student), teacher), of the towers' outputs.

    The teacher begins as a copy of the tower, gets no gradient, and after each step moves by 1 - decay towards it; it
    is saved with the objective. Which tokens the student does not see depends on the step and the row.
    """

    cacheable = False
    needs = frozenset({"tokens", "extra"})

    def __init__(self, options: SelfDistillationOptions, tower: Tower):
        super().__init__()
        self.options = options
        self.student, self.view = options.stream, options.teacher_stream or options.stream
        self.streams = tuple(dict.fromkeys((self.student, self.view)))
        self.head = Head(replace(options.head, dim=tower.width), tower.width)
        self.averages = nn.ModuleDict({self.student: teacher_of(tower)})

    @classmethod
    def from_options(cls, options: SelfDistillationOptions, *, model: JointModel) -> SelfDistillation:
        student, view = (model.tower(s) for s in (options.stream, options.teacher_stream or options.stream))
        if student is not view:
            raise UserError("self_distillation takes two views of one stream: their tower is the same.")
        return cls(options, student)

    def begin(self, model: JointModel) -> None:
        self._move(model.tower(self.student), 1.0)

    def train(self, mode: bool = True) -> SelfDistillation:
        super().train(mode)
        for teacher in self.teachers.values():
            teacher.eval()  # no dropout, no new statistics
        return self

    def forward(self, ctx: StepContext) -> dict[str, Tensor]:
        if not ctx.count(*self.streams):
            return {"loss": self.zero(ctx)}
        rows = ctx.rows(*self.streams)
        target = self._teach(ctx)
        student = self._student(ctx, target)
        predicted = own_rows(ctx, self.student, self.head(student.pooled), rows)
        total = self.zero(ctx) + predicted[:0].sum()  # sharded weights are used on every process or none
        if target is not None:
            terms = 1 + negative_cosine(predicted, own_rows(ctx, self.view, target.pooled, rows))
            total = total + terms.sum() / len(rows)
        return {"loss": total}

    @torch.no_grad()
    def _teach(self, ctx: StepContext) -> Encoding | None:
        """What the teacher says of this process's rows of its view; None where it has none."""
        inputs = _inputs(ctx, self.view)
        if inputs is None:
            return None
        teacher = ctx.teacher(self.student)
        dtype = module_dtype(teacher)
        with batch_norm_in_eval(teacher):
            return teacher(inputs if dtype is None else to_dtype(inputs, dtype))

    def _student(self, ctx: StepContext, target: Encoding | None) -> Encoding:
        if not self.options.mask_ratio:
            return ctx.encoding(self.student)
        inputs = _inputs(ctx, self.student)
        if inputs is None:
            return ctx.encode(self.student, None)
        whole = ctx.encoding(self.student) if target is None or self.view != self.student else target
        return ctx.encode(self.student, inputs, mask=self._mask(ctx, whole))

    def _mask(self, ctx: StepContext, whole: Encoding) -> Tensor:
        """[B, T] True = not seen: of each row's tokens the same number, and never all of them."""
        shape = whole.extra["feature_map"] if whole.tokens is None and "feature_map" in whole.extra else whole.tokens
        if shape is None:
            raise UserError(f"self_distillation masks tokens, and the tower of {self.student} gives none.")
        rows, length = ctx.batch.rows(self.student).tolist(), shape.shape[1]
        present = torch.ones(shape.shape[:2], dtype=torch.bool) if whole.mask is None else whole.mask.bool().cpu()
        mask = torch.zeros(len(rows), length, dtype=torch.bool)
        for i, row in enumerate(rows):
            real = present[i].nonzero()[:, 0]
            draws = torch.from_numpy(ctx.rng("self_distillation", self.student, row).random(length))[real]
            mask[i, real[draws.argsort()[: min(int(self.options.mask_ratio * len(real)), len(real) - 1)]]] = True
        return mask.to(shape.device)

    def after_step(self, ctx: StepContext) -> None:
        self._move(ctx.tower(self.student), 1 - self.options.decay)

    @torch.no_grad()
    def _move(self, tower: Tower, share: float) -> None:
        """Move the teacher towards the tower; buffers are copied. Sharded weights on the process that holds them."""
        (teacher,) = self.teachers.values()
        for mine, new in zip(teacher.parameters(), tower.parameters()):
            _local(mine).lerp_(_local(new).to(_local(mine).dtype), share)
        for mine, new in zip(teacher.buffers(), tower.buffers()):
            mine.copy_(new)


def teacher_of(tower: Tower) -> Tower:
    """A copy that does not learn; it shares the processor."""
    processor = tower.processor
    teacher = copy.deepcopy(tower, {id(processor): processor})
    return teacher.requires_grad_(False).eval()


def _local(x: Tensor) -> Tensor:
    return x.to_local() if hasattr(x, "to_local") else x  # type: ignore[operator]


def _inputs(ctx: StepContext, stream: str):
    """Collated inputs of this process's rows; None where it has none. Batches of objectives that re-enter are whole."""
    (part,) = ctx.batch.parts
    return part.inputs[stream] if stream in part.inputs and len(part.rows[stream]) else None
