"""The interface of a similarity."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from anyclip.registry import get_registry
from anyclip.towers import Encoding

Prepared = dict[str, Tensor]  # what is gathered across processes: name -> [B, ...]


class Similarity(nn.Module):
    """Scores of a pair.

    decomposable: True when one vector per side suffices (`prepare` gives `{"embedding": [B, E]}` and the score is a
    dot product): losses may tile it, an index may search it. False: rerank only.
    needs: which of "embedding", "tokens", "layers" it reads; with "projected" the tokens come mapped by the stream's
    own projection, [B, T, E].
    paired: scores depend on which rows belong together; `pair` then marks them in what is compared.
    geometry: the space of the embeddings, for terms that depend on it.
    """

    decomposable: bool = True
    needs: frozenset[str] = frozenset({"embedding"})
    paired: bool = False
    geometry: str = "sphere"

    def prepare(self, encoding: Encoding, features: Tensor) -> Prepared:
        """Encoding and features [B, E] of one stream -> what is compared (and gathered across processes)."""
        raise NotImplementedError(f"{type(self).__name__} does not define prepare")

    def pair(self, a: Prepared, b: Prepared) -> tuple[Prepared, Prepared]:
        """Both sides of complete rows, row i of a belonging to row i of b, with what `scores` needs to know of it."""
        return a, b

    def scores(self, a: Prepared, b: Prepared) -> Tensor | tuple[Tensor, Tensor]:
        """[Na, Nb], unscaled, for any chunk; or a pair ([Na, Nb], [Nb, Na]) when the directions differ (FILIP)."""
        raise NotImplementedError(f"{type(self).__name__} does not define scores")


def create_similarity(name: str, **options: Any) -> Similarity:
    """A registered similarity by name."""
    registry = get_registry()
    built = registry.build_options("similarity", name, options)
    cls = registry.load("similarity", name)
    return cls(built) if built is not None else cls()
