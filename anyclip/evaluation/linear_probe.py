"""A linear classifier on frozen embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.errors import UserError
from anyclip.evaluation.base import Evaluation, Result
from anyclip.evaluation.classification import check_label, labelled_vectors, measure, only_stream, worst_classes

if TYPE_CHECKING:
    from anyclip.evaluation.data import EvalData
    from anyclip.model import JointModel


class LinearProbe(Evaluation):
    """Multinomial logistic regression on the training rows, accuracy on the validation rows.

    Full batch, L-BFGS, inputs standardised by the training rows. The penalty is chosen on a held-out part of the
    training rows and the winner refitted on all of them; the validation rows only measure.
    """

    def run(self, model: JointModel, data: EvalData) -> Result:
        options = self.options
        check_label(data, options.label, "linear_probe")
        stream = only_stream(
            data,
            data.streams if options.stream else [s for s in data.streams if not data.is_text(s)],
            options.stream,
            "linear_probe",
            "stream",
        )
        x_train, train_labels = self._training(data, stream)
        x_val, val_labels, _ = self._labelled(data, stream, options.max_rows)
        names = sorted({str(label) for label in train_labels})
        number = {name: i for i, name in enumerate(names)}
        keep = [k for k, label in enumerate(val_labels) if str(label) in number]
        if len(names) < 2 or not keep:
            raise UserError(
                f"linear_probe: the training rows hold {len(names)} classes and {len(keep)} of the {len(val_labels)} "
                "validation rows belong to one of them.",
                where=data.name,
                hint=f"It needs at least two classes in the field {options.label!r}.",
            )
        y_train = torch.tensor([number[str(label)] for label in train_labels])
        truth = np.array([number[str(val_labels[k])] for k in keep], dtype=np.int64)
        l2, guess = self._fit(x_train, y_train, x_val[keep], len(names))
        result = Result("linear_probe", {}, info=self._info(data, stream, names, y_train, val_labels, keep, l2))
        share = float(np.max(np.bincount(truth))) / len(truth)
        measure(
            result,
            stream,
            {"accuracy": (guess == truth).astype(np.float64)},
            truth,
            {"accuracy": share},
            resamples=options.bootstrap,
            seed=options.seed,
        )
        result.chance[f"{stream}/mean_class"] = 1 / len(np.unique(truth))
        result.examples = worst_classes(names, truth, guess, 10)
        return result

    def _info(self, data, stream, names, y_train, val_labels, keep, l2) -> dict[str, Any]:
        return {
            "dataset": data.name,
            "stream": stream,
            "classes": len(names),
            "rows": len(keep),
            "training_rows": len(y_train),
            "rows_of_other_classes": len(val_labels) - len(keep),
            "l2": l2,
            "chance": "the most frequent class",
        }

    def _labelled(self, data: EvalData, stream: str, limit: int | None):
        kind = "dot" if self.options.features else "cosine"
        size = self.options.batch_size
        return labelled_vectors(data, stream, self.options.label, limit=limit, batch_size=size, similarity=kind)

    def _training(self, data: EvalData, stream: str) -> tuple[Tensor, list]:
        vectors, labels = [], []
        for source in data.train():
            if stream in source.streams and self.options.label in source.fields:
                x, found, _ = self._labelled(source, stream, self.options.max_train)
                vectors.append(x)
                labels += found
        if not labels:
            raise UserError(
                f"linear_probe: no training dataset holds both the stream {stream!r} and the field "
                f"{self.options.label!r}.",
                hint="Map them with `fields` under data.train.",
            )
        return torch.cat(vectors), labels

    def _fit(self, x: Tensor, y: Tensor, x_val: Tensor, classes: int) -> tuple[float, np.ndarray]:
        """(penalty chosen, class of each row of x_val)."""
        mean, std = x.mean(0), x.std(0, correction=0).clamp_min(1e-6)
        x, x_val = ((t - mean) / std for t in (x.double(), x_val.double()))
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(self.options.seed))
        held = max(1, round(self.options.holdout * len(x)))
        out, rest = order[:held], order[held:]
        best, best_loss = self.options.l2[0], float("inf")
        if len(self.options.l2) > 1 and len(rest):
            for l2 in self.options.l2:
                weight, bias = fit_logistic(x[rest], y[rest], classes, l2, self.options.iterations)
                loss = float(F.cross_entropy(x[out] @ weight + bias, y[out]))
                if loss < best_loss:
                    best, best_loss = l2, loss
        weight, bias = fit_logistic(x, y, classes, best, self.options.iterations)
        return best, (x_val @ weight + bias).argmax(1).numpy()


def fit_logistic(x: Tensor, y: Tensor, classes: int, l2: float, iterations: int) -> tuple[Tensor, Tensor]:
    """Minimise mean cross entropy + l2 * |weight|^2 / 2 from zero. x [N, D] double -> weight [D, C], bias [C]."""
    weight = torch.zeros(x.shape[1], classes, dtype=x.dtype, requires_grad=True)
    bias = torch.zeros(classes, dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=iterations, line_search_fn="strong_wolfe", history_size=10)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight + bias, y) + 0.5 * l2 * weight.square().sum()
        loss.backward()
        return float(loss.detach())

    with torch.enable_grad():
        optimizer.step(closure)
    return weight.detach(), bias.detach()
