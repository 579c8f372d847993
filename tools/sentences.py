"""The sentences that Python code makes for people: failures, what is wrong with a field, progress of jobs, reasons.

Read from the syntax alone, so that nothing has to be imported or to happen. A place that is filled at run time is a ``{0}``,
``{1}`` … in its order. What has alternatives (``a if x else b``, a name that is given one of several texts) is told once for each.
"""
from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from mcpweb import errors, paths

LEFT_OUT = (
    "cli/", "testing/", "demo/", "kit/", "rest/", "docs/", "images/", "settings.py", "instance.py", "failpoints.py", "hookspecs.py",
    "db/migrate.py", "bench/child.py", "reports/", "apart/__main__.py", "services/health.py", "services/gauges.py", "web/metrics.py",
    "schemas/answers.py", "supervisor.py", "mcp/asked.py", "mcp/decode.py", "bench/inputs/hints.py",
)
"""What no page shows: the command line, the API, what runs in another process or in tests."""
PLACE = "\0"
_MOST = 24
_SENTENCE = re.compile(r"[A-Z\0`'\"][^\n]* [^\n]*[.!]")
_NAMED = re.compile(r"\{[a-z]\w*\}")
_LITERAL = re.compile(r"[A-Za-z]{2}")
# a called name: where its sentence stands among what it is given
_CALLS = {"FieldError": 1, "progress": 1, "_progress": 1, "quarantine": 1, "put": 2, "say": 0, "sentence": 0}
_KEYWORDS = ("next_step", "detail", "status_detail", "message", "refusal")
_SKIPPED = ("log", "logging", "re", "conn", "argparse", "parser")


def of_code() -> dict[str, str]:
    """Return every sentence with the file it is from."""
    found: dict[str, str] = {}
    for folder in (paths.PACKAGE, paths.PACKAGE.parent / "plugins"):
        for file in sorted(folder.rglob("*.py")):
            name = file.relative_to(folder).as_posix()
            if not (folder == paths.PACKAGE and name.startswith(LEFT_OUT)):
                for text in of_file(file):
                    found.setdefault(text, name)
    return found


def of_file(file: Path) -> Iterator[str]:
    """Return the sentences of one file."""
    yield from of_text(file.read_text("utf-8"), whole="testtype_" not in file.as_posix(), folder=file.parent)


def of_text(source: str, *, whole: bool = True, folder: Path | None = None) -> Iterator[str]:
    """Return the sentences of a module: what is given to a failure or told of a job, and (``whole``) all that reads like one."""
    module = _Module(ast.parse(source), folder)
    seen: set[str] = set()
    for node, scope in module.walk():
        for expression in module.given(node) or ([node] if whole and module.reads(node) else []):
            for text in module.texts(expression, scope):
                text = _NAMED.sub(PLACE, text)
                told = numbered(text)
                if told not in seen and worth(text):
                    seen.add(told)
                    yield told


def worth(text: str) -> bool:
    """Tell whether there is something to translate: a word of our own, and no name alone."""
    bare = text.replace(PLACE, "")
    if text != text.strip() or "\n" in text or "%(" in text:
        return False
    return bool(_LITERAL.search(bare)) and (" " in text.strip() or bare == text) and len(bare.strip(" .:,;()")) > 2


def numbered(text: str) -> str:
    """Return the text with its places as {0}, {1} …"""
    count = itertools.count()
    return re.sub(PLACE, lambda _: f"{{{next(count)}}}", text)


class _Module:
    """One parsed file."""

    def __init__(self, tree: ast.Module, folder: Path | None = None) -> None:
        self.tree = tree
        self.given_names: dict[ast.AST | None, dict[str, list[ast.expr]]] = {}
        self.functions: dict[str, ast.FunctionDef] = {}
        self._collect(tree, None)
        for node in ast.walk(tree):
            if folder is not None and isinstance(node, ast.ImportFrom):
                self._imported(node, folder)

    def _collect(self, node: ast.AST, scope: ast.AST | None) -> None:
        names = self.given_names.setdefault(scope, {})
        for child in ast.iter_child_nodes(node):
            inner = scope
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                inner = child
                if isinstance(child, ast.FunctionDef):
                    self.functions[child.name] = child
            if isinstance(child, ast.Assign):
                for target in child.targets:
                    self._assign(names, target, child.value)
            elif isinstance(child, ast.AnnAssign | ast.NamedExpr) and child.value is not None:
                self._assign(names, child.target, child.value)
            elif isinstance(child, ast.AugAssign | ast.For | ast.comprehension) and isinstance(child.target, ast.Name):
                names.setdefault(child.target.id, []).append(child.target)  # not to be known
            self._collect(child, inner)

    def _imported(self, node: ast.ImportFrom, folder: Path) -> None:
        """Take over the texts another module of ours gives a name at its top."""
        place = folder.joinpath(*[".."] * (node.level - 1)) if node.level else paths.PACKAGE.parent
        file = place.joinpath(*(node.module or "").split(".")).with_suffix(".py")
        wanted = {one.name: one.asname or one.name for one in node.names if one.name.strip("_").isupper()}
        if not wanted or not file.is_file() or not (node.level or (node.module or "").startswith("mcpweb")):
            return
        for child in ast.parse(file.read_text("utf-8")).body:
            for target in child.targets if isinstance(child, ast.Assign) else ():
                if isinstance(target, ast.Name) and target.id in wanted and isinstance(child.value, ast.Constant):
                    self.given_names[None].setdefault(wanted[target.id], []).append(child.value)

    def _assign(self, names: dict[str, list[ast.expr]], target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            names.setdefault(target.id, []).append(value)
        elif isinstance(target, ast.Tuple):
            values = value.elts if isinstance(value, ast.Tuple) else [value] * len(target.elts)
            for one, its in zip(target.elts, values, strict=False):
                self._assign(names, one, its if isinstance(value, ast.Tuple) else target)

    def walk(self) -> Iterator[tuple[ast.AST, ast.AST | None]]:
        """Return every node that may make a sentence with the function around it; docstrings and logs are none."""

        def down(node: ast.AST, scope: ast.AST | None) -> Iterator[tuple[ast.AST, ast.AST | None]]:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                    continue
                if isinstance(child, ast.Call) and _owner(child) in _SKIPPED:
                    continue
                yield child, scope
                if isinstance(child, ast.JoinedStr):
                    for part in child.values:
                        yield from down(part, scope)
                else:
                    yield from down(child, child if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else scope)

        return down(self.tree, None)

    def given(self, node: ast.AST) -> list[ast.expr]:
        """Return what a call is given to tell people."""
        if not isinstance(node, ast.Call):
            return []
        name = _name(node)
        found = [word.value for word in node.keywords if word.arg in _KEYWORDS] if name != "replace" else []
        if name in _FAILURES:
            found += node.args[:1]
        elif name in _CALLS and len(node.args) > _CALLS[name]:
            found.append(node.args[_CALLS[name]])
        return found

    def reads(self, node: ast.AST) -> bool:
        """Tell whether a text looks like a sentence."""
        if isinstance(node, ast.Constant):
            return isinstance(node.value, str) and bool(_SENTENCE.fullmatch(node.value))
        return isinstance(node, ast.JoinedStr) and bool(_SENTENCE.fullmatch(_flat(node)))

    def texts(self, node: ast.expr, scope: ast.AST | None, depth: int = 0) -> list[str]:
        """Return the alternatives of an expression; [] when nothing is known of it."""
        if depth > 6:
            return []
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) else []
        if isinstance(node, ast.IfExp):
            return [t for one in (node.body, node.orelse) for t in self.texts(one, scope, depth + 1) or [PLACE]]
        if isinstance(node, ast.BoolOp):
            return [t for one in node.values for t in self.texts(one, scope, depth + 1) or [PLACE]]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            sides = [self.texts(one, scope, depth + 1) for one in (node.left, node.right)]
            return self._joined([side or [PLACE] for side in sides]) if any(sides) else []
        if isinstance(node, ast.JoinedStr):
            return self._joined([
                [str(part.value)] if isinstance(part, ast.Constant)
                else self._inner(part.value, scope, depth + 1) if isinstance(part, ast.FormattedValue) else [PLACE]
                for part in node.values
            ])
        if isinstance(node, ast.Name):
            return self._named(node.id, scope, depth)
        if isinstance(node, ast.Call):
            return self._called(node, scope, depth)
        return []

    def _inner(self, node: ast.expr, scope: ast.AST | None, depth: int) -> list[str]:
        """Return what may stand in a place: short texts of our own, else the place."""
        return self.texts(node, scope, depth) or [PLACE]

    def _joined(self, parts: list[list[str]]) -> list[str]:
        size = 1
        for at, part in enumerate(parts):
            size *= len(part)
            if size > _MOST:
                parts[at] = [PLACE]
                size //= len(part)
        return ["".join(one) for one in itertools.product(*parts)]

    def _named(self, name: str, scope: ast.AST | None, depth: int) -> list[str]:
        local = self.given_names.get(scope, {}).get(name)
        if local is None and isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef) and name in _arguments(scope):
            return []
        values = local if local is not None else self.given_names.get(None, {}).get(name, [])
        if any(isinstance(value, ast.Name) and value.id == name for value in values):
            return []
        found = [t for value in values for t in self.texts(value, scope if local is not None else None, depth + 1) or [PLACE]]
        return list(dict.fromkeys(found)) if any(text != PLACE for text in found) else []

    def _called(self, node: ast.Call, scope: ast.AST | None, depth: int) -> list[str]:
        if isinstance(node.func, ast.Name) and node.func.id in self.functions:
            function = self.functions[node.func.id]
            returned = [one.value for one in ast.walk(function) if isinstance(one, ast.Return) and one.value is not None]
            found = [t for one in returned for t in self.texts(one, function, depth + 1) or [PLACE]]
            return list(dict.fromkeys(found)) if any(text != PLACE for text in found) else []
        if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            return [re.sub(r"\{\w*[^}]*\}", PLACE, text) for text in self.texts(node.func.value, scope, depth + 1)]
        return []


_FAILURES = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.Failure)}


def _flat(node: ast.JoinedStr) -> str:
    return "".join(str(part.value) if isinstance(part, ast.Constant) else PLACE for part in node.values)


def _name(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""


def _owner(node: ast.Call) -> str:
    return node.func.value.id if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) else ""


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    return {one.arg for one in (*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs)}


if __name__ == "__main__":
    for text, file in sorted(of_code().items(), key=lambda one: (one[1], one[0])):
        print(f"{file}\t{text}")
