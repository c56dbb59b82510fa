"""`where`: a row filter such as `split == "train" and duration <= 10`, parsed with an allow-list and never evaluated.

Python's parser reads the text; only the nodes named here are understood, so that nothing can be called or reached.
A missing value (null) equals null only; `<`, `<=`, `>`, `>=` with it are false. Text from a CSV cell is compared with
numbers as a number.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from anyclip.errors import DataError, did_you_mean

Value = Callable[[Mapping[str, Any]], Any]

_CONSTANTS = {"null": None, "none": None, "None": None, "true": True, "True": True, "false": False, "False": False}
_ORDER = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
_HELP = (
    'A filter knows columns, numbers, "text", true, false, null, [lists], ==, !=, <, <=, >, >=, in, not in, is null, '
    'is not null, and, or, not, brackets; column("odd name") for a name with other signs.'
)


class Where:
    """A parsed row filter: `Where('split == "train"')(row)` is True or False. Picklable (parsed again).

    Args:
        text: the expression.
        where: file or key that the errors name.

    Raises DataError for what is not in the language.
    """

    def __init__(self, text: str, *, where: str = "where"):
        self.text, self.where = text, where
        self.columns: list[str] = []
        try:
            tree = ast.parse(text.strip(), mode="eval")
            self._test = self._truth(tree.body)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = getattr(error, "msg", None) or str(error) or type(error).__name__
            raise self._error(f"cannot be read ({reason})", _HELP) from None

    def __reduce__(self):
        return _again, (self.text, self.where)

    def __call__(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is kept. Raises TypeError when two values have no order, such as a number and a word."""
        return bool(self._test(row))

    def check(self, columns: Iterable[str]) -> None:
        """Raises DataError with the nearest name when the filter uses a column that is not there."""
        columns = list(columns)
        for name in self.columns:
            if name not in columns:
                raise self._error(f"there is no column {name!r}", did_you_mean(name, columns, noun="Columns"))

    def _error(self, message: str, hint: str) -> DataError:
        return DataError(f"where: {self.text!r}: {message}.", where=self.where, hint=hint)

    def _refuse(self, node: ast.AST) -> DataError:
        part = ast.get_source_segment(self.text.strip(), node) if isinstance(node, ast.expr) else type(node).__name__
        return self._error(f"{part!r} is not allowed", _HELP)

    def _truth(self, node: ast.expr) -> Value:
        if isinstance(node, ast.BoolOp):
            parts = [self._truth(value) for value in node.values]
            combine = all if isinstance(node.op, ast.And) else any
            return lambda row: combine(part(row) for part in parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self._truth(node.operand)
            return lambda row: not inner(row)
        if isinstance(node, ast.Compare):
            return self._compare(node)
        return self._value(node)

    def _compare(self, node: ast.Compare) -> Value:
        operands = [self._value(value) for value in (node.left, *node.comparators)]
        tests = [self._operator(op, node) for op in node.ops]

        def test(row: Mapping[str, Any]) -> bool:
            values = [operand(row) for operand in operands]
            return all(t(a, b) for t, a, b in zip(tests, values, values[1:]))

        return test

    def _operator(self, op: ast.cmpop, node: ast.Compare) -> Callable[[Any, Any], bool]:
        if type(op) in _ORDER:
            return _ordered(_ORDER[type(op)])
        if isinstance(op, (ast.In, ast.NotIn)):
            wanted = isinstance(op, ast.In)
            return lambda a, b: _within(a, b) is wanted
        if isinstance(op, (ast.Is, ast.IsNot)) and not _is_null(node.comparators[-1]):
            raise self._refuse(node)
        wanted = isinstance(op, (ast.Eq, ast.Is))
        return lambda a, b: _equal(a, b) is wanted

    def _value(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float, bool, type(None))):
            constant = node.value
            return lambda row: constant
        if isinstance(node, ast.Name):
            if node.id in _CONSTANTS:
                constant = _CONSTANTS[node.id]
                return lambda row: constant
            return self._column(node.id)
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            items = [self._value(item) for item in node.elts]
            return lambda row: [item(row) for item in items]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            number = node.operand.value
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                return lambda row: -number
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "column":
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            if len(names) == len(node.args) == 1 and not node.keywords:
                return self._column(names[0])
        if isinstance(node, (ast.BoolOp, ast.Compare)) or (
            isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        ):
            return self._truth(node)
        raise self._refuse(node)

    def _column(self, name: str) -> Value:
        if name not in self.columns:
            self.columns.append(name)
        return lambda row: row.get(name)


def _again(text: str, where: str) -> Where:
    return Where(text, where=where)


def _is_null(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and _CONSTANTS.get(node.id, 0) is None) or (
        isinstance(node, ast.Constant) and node.value is None
    )


_NUMBER = re.compile(r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$")


def _alike(a: Any, b: Any) -> tuple[Any, Any]:
    """Text beside a number becomes a number when it reads as one (CSV cells are always text)."""
    if isinstance(a, str) and isinstance(b, (int, float)) and not isinstance(b, bool) and _NUMBER.match(a):
        return float(a), b
    if isinstance(b, str) and isinstance(a, (int, float)) and not isinstance(a, bool) and _NUMBER.match(b):
        return a, float(b)
    return a, b


def _equal(a: Any, b: Any) -> bool:
    a, b = _alike(a, b)
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)


def _within(a: Any, b: Any) -> bool:
    if b is None:
        return False
    if isinstance(b, str):
        return isinstance(a, str) and a in b
    return any(_equal(a, item) for item in b)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def test(a: Any, b: Any) -> bool:
        if a is None or b is None:
            return False
        a, b = _alike(a, b)
        return bool(compare(a, b))

    return test
