"""What can be changed in a Python source, one place at a time: the mutants of `tools/mutants.py`.

Operators, constants, conditions, `min` and `max`, returned values; statements that are left out;
what is done finally, on an exception, or inside a context. Left alone: texts, what is logged,
annotations, decorators, what stands in for a package that is not installed, and the numbers of
module constants, which are tuning unless said otherwise. Knows no files and runs nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

LOGGERS = ("_log.", "logging.")
NO_PACKAGE = ("ImportError", "ModuleNotFoundError")
NEVER_RUN = ("TYPE_CHECKING", "__name__ == '__main__'")
SWAPPED: dict[type[ast.AST], type[Any]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
}
Node = ast.stmt | ast.expr
NO_CONTEXT = '__import__("contextlib").nullcontext()'


@dataclass(frozen=True)
class Mutant:
    """One change: the bytes from `start` to `end` of the file `path` become `after`."""

    path: str
    line: int
    start: int
    end: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before} -> {self.after}"

    def apply(self, source: bytes) -> bytes:
        """Return the source with the change."""
        return source[: self.start] + self.after.encode() + source[self.end :]


class Finder(ast.NodeVisitor):
    """Finds every change that can be made in one file."""

    def __init__(self, path: str, source: bytes, are_constants_fixed: bool) -> None:
        self.found: list[Mutant] = []
        self._path = path
        self._source = source
        self._are_constants_fixed = are_constants_fixed
        lengths = [len(line) for line in source.splitlines(keepends=True)]
        self._line_starts = [sum(lengths[:number]) for number in range(len(lengths))]
        self._function = ""

    def _change(self, node: Node, after: str, last: Node | None = None) -> None:
        """Note that what stands from `node` to `last` may become `after`."""
        end = last or node
        start_at = self._line_starts[node.lineno - 1] + node.col_offset
        end_at = self._line_starts[(end.end_lineno or 0) - 1] + (end.end_col_offset or 0)
        before = " ".join(self._source[start_at:end_at].decode().split())
        self.found.append(Mutant(self._path, node.lineno, start_at, end_at, before, after))

    def _become(self, node: ast.expr, other: ast.expr) -> None:
        self._change(node, f"({ast.unparse(other)})")

    def _negate(self, test: ast.expr) -> None:
        # These change by themselves; of a constant there is `while True`.
        if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant):
            self._become(test, ast.UnaryOp(ast.Not(), test))

    # Left alone, or in part.

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """A text: before Python 3.12 its parts have no place of their own."""

    def visit_arg(self, node: ast.arg) -> None:
        """An annotation."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        outer, self._function = self._function, node.name
        for part in (node.args, *node.body):
            self.visit(part)
        self._function = outer

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in node.body:
            self.visit(part)

    def visit_Assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        is_constant = isinstance(target, ast.Name) and target.id.lstrip("_").isupper()
        if is_constant and not self._are_constants_fixed:
            return
        if isinstance(target, ast.Attribute | ast.Subscript) and self._function != "__init__":
            self._change(node, "pass")
        self.visit(node.value)

    # Statements.

    def visit_Expr(self, node: ast.Expr) -> None:
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(value, ast.Call) and not ast.unparse(value.func).startswith(LOGGERS):
            self._visit_droppable(node)

    def _visit_droppable(self, node: ast.stmt) -> None:
        self._change(node, "pass")
        self.generic_visit(node)

    visit_AugAssign = visit_Delete = visit_Raise = _visit_droppable
    visit_Break = visit_Continue = _visit_droppable

    def visit_Return(self, node: ast.Return) -> None:
        is_none = node.value is None or ast.unparse(node.value) == "None"
        self._change(node, "pass" if is_none else "return None")
        self.generic_visit(node)

    def visit_If(self, node: ast.If | ast.While | ast.IfExp) -> None:
        if ast.unparse(node.test) not in NEVER_RUN:
            self._negate(node.test)
            self.generic_visit(node)

    visit_While = visit_IfExp = visit_If

    def visit_Try(self, node: ast.Try) -> None:
        if node.finalbody:
            self._change(node.finalbody[0], "pass", node.finalbody[-1])
        for part in (*node.body, *node.handlers, *node.orelse, *node.finalbody):
            self.visit(part)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None and ast.unparse(node.type) in NO_PACKAGE:
            return  # what is done without a package is not done where it is installed
        if not isinstance(node.body[0], ast.Raise):
            self._change(node.body[0], "raise", node.body[-1])
        if not isinstance(node.body[0], ast.Pass):
            self._change(node.body[0], "pass", node.body[-1])
        self.generic_visit(node)

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            if item.optional_vars is None:
                self._change(item.context_expr, NO_CONTEXT)
        self.generic_visit(node)

    visit_AsyncWith = visit_With

    # Expressions.

    def visit_Compare(self, node: ast.Compare) -> None:
        for index, operator in enumerate(node.ops):
            operators = [*node.ops]
            operators[index] = SWAPPED[type(operator)]()
            self._become(node, ast.Compare(node.left, operators, node.comparators))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self._become(node, ast.BoolOp(SWAPPED[type(node.op)](), node.values))
        for value in node.values:
            rest = [other for other in node.values if other is not value]
            self._become(node, ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0])
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._become(node, node.operand)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        is_text = any(
            isinstance(side, ast.JoinedStr | ast.List) for side in (node.left, node.right)
        )
        if type(node.op) in SWAPPED and not is_text:
            other: ast.operator = SWAPPED[type(node.op)]()
            self._become(node, ast.BinOp(node.left, other, node.right))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._change(node, str(not node.value))
        elif isinstance(node.value, int | float):
            self._change(node, f"{node.value + 1}")
            if node.value:
                self._change(node, f"{node.value - 1}")

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._negate(test)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in ("min", "max") and len(node.args) > 1:
            self._change(node.func, "max" if name == "min" else "min")
            for argument in node.args:
                self._become(node, argument)
        self.generic_visit(node)


def mutants_of(path: str, source: bytes, are_constants_fixed: bool = False) -> Iterator[Mutant]:
    """Yield every change of the file `path` that still is a program.

    `are_constants_fixed`: the numbers of its module constants are no tuning, and change too.
    """
    finder = Finder(path, source, are_constants_fixed)
    finder.visit(ast.parse(source))
    for mutant in dict.fromkeys(finder.found):
        with suppress(SyntaxError):
            compile(mutant.apply(source), path, "exec")
            yield mutant
