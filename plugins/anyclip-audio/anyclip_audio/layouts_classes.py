"""Layouts of class names and folds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from anyclip.errors import DataError
from anyclip_audio.layouts import Entry, LayoutReader


class ClassLayout(LayoutReader):
    """Rows with a class name and a fold: `label` as the table has it, `text` a caption made of it."""

    gives: ClassVar[Sequence[str]] = ("label", "text", "target", "fold")
    columns_of: ClassVar[tuple[str, str, str, str]]
    """Columns of the table: file, class name, class number, fold."""

    @abstractmethod
    def file(self, name: str, fold: int) -> str:
        """Path of a sound inside the dataset's folder."""

    def entries(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
        wanted = self.options.folds
        entries = [self._entry(values) for values in rows]
        there = {entry.values["fold"] for entry in entries}
        strange = sorted(set(wanted or ()) - there)
        if strange:
            raise DataError(
                f"folds: {', '.join(map(str, strange))} is not in {self.table_name}.",
                where=self.path,
                hint=f"There: {', '.join(map(str, sorted(there)))}.",
            )
        yield from (entry for entry in entries if wanted is None or entry.values["fold"] in wanted)

    def _entry(self, values: Mapping[str, Any]) -> Entry:
        name, label, target, fold = (values[column] for column in self.columns_of)
        try:
            numbers = {"target": int(target), "fold": int(fold)}
        except ValueError:
            raise DataError(
                f"{name}: class number {target!r} and fold {fold!r} must be whole numbers.", where=self.table_name
            ) from None
        text = self.options.caption.replace("{}", label.replace("_", " "))
        return Entry(name, self.file(name, numbers["fold"]), {"label": label, "text": text, **numbers})
