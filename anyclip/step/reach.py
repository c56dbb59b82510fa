"""Which parameters a backward pass reaches."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def reached(loss: Tensor) -> set[int]:
    """Ids of the parameters that get a gradient from `loss`, by walking its graph."""
    found: set[int] = set()
    seen = set()
    waiting = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        following = [n for n, _ in node.next_functions]
        if type(node).__name__ == "_InjectBackward":
            following = [n for n, grad in zip(following, node.grads) if grad is not None]  # type: ignore[attr-defined]
        waiting += following
    return found


def fills_zeros(module: nn.Module) -> bool:
    """Whether the wrapper turns the missing gradient of an unused parameter into zeros, as DDP does."""
    return any(isinstance(m, DistributedDataParallel) for m in _wrappers(module))


def _wrappers(module: nn.Module):
    while module is not None:
        yield module
        module = getattr(module, "_forward_module", None) or getattr(module, "module", None)  # type: ignore[assignment]


class Unreached:
    """Keeps parameters that nothing used at `None`, so that an optimizer leaves them alone (no decay, no momentum).

    What was reached is asked anew in each step only for kinds of steps that once left a parameter out.
    """

    def __init__(self):
        self._complete: set[object] = set()

    def drop(self, parameters: list[nn.Parameter], reached: set[int], kind: object) -> None:
        left = [p for p in parameters if id(p) not in reached]
        if not left:
            self._complete.add(kind)
        for parameter in left:
            parameter.grad = None

    def complete(self, kind: object) -> bool:
        return kind in self._complete
