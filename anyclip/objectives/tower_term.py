"""A tower's own loss as a term of the training loss: the kernel norms of AudioCLIP, the codes of a quantiser.

Such losses are in a tower's `Encoding.terms`, a number per row.
"""

from __future__ import annotations

from torch import Tensor

from anyclip.errors import UserError
from anyclip.losses.base import at_least_fp32
from anyclip.model import JointModel
from anyclip.objectives.base import Objective, StepContext
from anyclip.objectives.options import TowerTermOptions
from anyclip.towers import Encoding


class TowerTerm(Objective):
    """Mean of `Encoding.terms[term]` over all rows of the global batch that have the stream; 0 where none has."""

    def __init__(self, options: TowerTermOptions):
        super().__init__()
        self.options, self.streams = options, (options.stream,)

    @classmethod
    def from_options(cls, options: TowerTermOptions, *, model: JointModel) -> TowerTerm:
        if not model.trainable(options.stream):
            raise UserError(
                f"tower_term has nothing to train: the tower of {options.stream!r} is frozen.",
                where=f"model.towers.{model.resolve(options.stream)}",
                hint="Take the objective away, or let a part of the tower learn.",
            )
        return cls(options)

    def forward(self, ctx: StepContext) -> dict[str, Tensor]:
        (stream,) = self.streams
        count = ctx.count(stream)
        if not count:
            return {"loss": self.zero(ctx)}
        encoding = ctx.encoding(stream)
        values = encoding.terms.get(self.options.term)
        if values is None or values.shape != encoding.pooled.shape[:1]:
            raise self._unfit(encoding)
        return {"loss": at_least_fp32(values).sum() / count}

    def _unfit(self, encoding: Encoding) -> UserError:
        (stream,), term = self.streams, self.options.term
        found = encoding.terms.get(term)
        if found is not None:
            shape = tuple(encoding.pooled.shape[:1])
            message = (
                f"the term {term!r} of {stream!r} has the shape {tuple(found.shape)}, one number a row is {shape}."
            )
            return UserError(message, hint="A tower gives `terms` [B]: see docs/writing-a-plugin.md.")
        if not encoding.terms:
            return UserError(
                f"the tower of {stream!r} gives no losses of its own.", hint="Take the objective tower_term away."
            )
        hint = f"It gives {', '.join(sorted(encoding.terms))}."
        return UserError(f"the tower of {stream!r} gives no term {term!r}.", where="objectives", hint=hint)
