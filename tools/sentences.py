"""The sentences that Python code makes for people: failures, what is wrong with a field, progress of jobs, reasons.

Read from the syntax alone, so that nothing has to be imported or to happen. A place that is filled at run time is a ``{0}``,
``{1}`` … in its order. What has alternatives (``a if x else b``, a name that is given one of several texts) is told once for each.
"""
from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from mcpweb import errors, paths

LEFT_OUT = (
    "cli/", "testing/", "demo/", "kit/", "rest/", "docs/", "images/", "settings.py", "instance.py", "failpoints.py", "hookspecs.py",
    "db/migrate.py", "bench/child.py", "reports/", "apart/__main__.py", "services/health.py", "services/gauges.py", "web/metrics.py",
    "schemas/answers.py", "supervisor.py", "mcp/asked.py", "mcp/decode.py", "bench/inputs/hints.py",
)
"""What no page shows: the command line, the API, what runs in another process or in tests."""
OF_OTHERS = (
    # marshmallow
    "Missing data for required field.", "Field may not be null.", "Invalid input type.", "Invalid value.", "Not a valid string.",
    "Not a valid integer.", "Not a valid number.", "Not a valid boolean.", "Not a valid list.", "Not a valid mapping type.",
    "Not a valid datetime.", "Must be one of: {0}.", "Must be equal to {0}.", "Length must be between {0} and {1}.",
    "Length must be {0}.", "Shorter than minimum length {0}.", "Longer than maximum length {0}.",
    "Must be greater than or equal to {0} and less than or equal to {1}.", "Must be greater than or equal to {0}.",
    "Must be less than or equal to {0}.", "this is another kind of document",
    # jsonschema-rs
    "{0} is not one of {1}", "Additional properties are not allowed ({0} was unexpected)",
    "Additional properties are not allowed ({0} were unexpected)", "{0} is a required property", "{0} is less than the minimum of {1}",
    "{0} is greater than the maximum of {1}", "{0} is not of type {1}", "{0} is not of types {1}", "{0} is shorter than {1} characters",
    "{0} is shorter than 1 character", "{0} is longer than {1} characters", "{0} is longer than 1 character",
    "{0} does not match {1}", "{0} has less than {1} items", "{0} has less than 1 item", "{0} has more than {1} items",
    "{0} has more than 1 item", "{0} has non-unique elements", "{0} is valid under more than one of the schemas listed in the 'oneOf' keyword",
    "{0} is not valid under any of the schemas listed in the 'oneOf' keyword",
    "{0} is not valid under any of the schemas listed in the 'anyOf' keyword", "{0} was expected", "{0} is not a {1}",
    "{0} is less than or equal to the minimum of {1}", "{0} is greater than or equal to the maximum of {1}",
    "{0} is not a multiple of {1}", "{0} is not allowed for {1}", "{0} has less than {1} properties", "{0} has less than 1 property",
    "{0} has more than {1} properties", "{0} has more than 1 property", "False schema does not allow {0}",
    # the system
    "Permission denied", "No such file or directory", "No space left on device", "Read-only file system", "Is a directory",
    "Not a directory", "Connection refused", "Connection reset by peer", "Broken pipe", "Input/output error", "File exists",
    "Too many open files", "Operation not permitted",
    # joined texts
    "{0} {1}: {2}.", "The test type failed: {0}", "{0} ({1}).",
    "The {0} {1} is another {2}: {3}.", "The {0} {1} is another {2}: {3}. {4}", "The {0} {1} was approved as something else: {2}.",
    "The {0} {1} was approved as something else: {2}. {3}", "The {0} {1} appears {2}.", "The {0} {1} is gone {2}.", "after {0} calls",
    "The {0} {1} is gone since it was approved.", "The {0} {1} was never approved.", "Read {0} in the raw answer to {1}.",
    "Read {0} in the raw answer to {1} and decode it: {2}.", "{0} is listed, and reading it is refused: {1}.",
    "{0}: the cursor {1} comes again, so the list has no end.", "{0}: page {1} cannot be had: {2}.", "{0}: page {1} holds no list of {2}.",
    "{0} in {1} keeps the processor busy: {2} of one, seconds after the call was cancelled.",
    "{0} in {1} keeps the processor busy: {2} s of it after the call was cancelled, and no end to it.", "{0} in {1} fills the memory: {2} MiB.",
    "{0} It shows when {1} is used after it.", "{0} in {1} ends the server: {2}.", "{0} of the tool holds the secret {1}.", "{0} of the tool holds the environment, {1} among it.",
    "{0} of the tool holds what looks like a credential ({1}…).", "An error", "A result",
    "The answer of the tool {0} from call {1} on, where it did not before.", "hides something ({0}): {1}", "hides something ({0})",
    "the tool says it failed: {0}", "the server answers with an error: {0}", "no reply came in time: {0}", "the server went away: {0}",
    "p50 {0} ms ({1} to {2}), p95 {3} ms ({4} to {5})", "called {0} of {1} tools", "checked {0} of {1} tools", "{0}: assertion {1}: {2}.", "{0}: ttlMs is missing.", "{0}: ttlMs is {1}.", "it took {0} ms, more than {1} ms",
    "over the last half of {0} calls of {1} tools", "over the last half of {0} calls; the limit is reached after {1} more",
    "over the last half of {0} calls of {1} tools; the limit is reached after {2} more",
    "over the last half of {0} calls of {1} tools, {2} MiB of it in the turns of {3}",
    "over the last half of {0} calls of {1} tools, {2} MiB of it in the turns of {3}; the limit is reached after {4} more",
    # readers of JSON and YAML
    "line {0}, column {1}: {2}", "line {0}: {1}", "{0}: line {1} column {2} (char {3})", "Expecting value", "Expecting ',' delimiter",
    "Expecting ':' delimiter", "Expecting property name enclosed in double quotes", "Extra data", "Invalid control character at",
    "Illegal trailing comma before end of object", "Illegal trailing comma before end of array", "Unterminated string starting at",
    "did not find expected node content", "did not find expected key", "did not find expected '-' indicator",
    "did not find expected ',' or ']'", "did not find expected ',' or '}'", "did not find expected alphabetic or numeric character",
    "could not find expected ':'", "mapping values are not allowed in this context", "block sequence entries are not allowed in this context",
    "found character that cannot start any token", "found unexpected end of stream", "found unexpected document indicator",
    "found undefined alias", "found undefined tag handle", "found unknown escape character",
    # a test type before what it does now
    "Connection: {0}", "Functionality: {0}", "Performance: {0}", "Security: {0}",
)
"""What libraries, the system and joined texts say on pages, as far as it is met."""
PARTS = (
    "bench/inputs/nodes.py", "bench/inputs/cases.py", "bench/rows.py", "safefetch.py", "testtype_functionality/invalid.py",
    "catalogs/__init__.py", "catalogs/clients.py", "catalogs/docker_catalog.py", "catalogs/fields.py", "catalogs/nodes.py",
    "catalogs/texts.py", "checkpoints.py", "segments.py", "dao/audit.py", "services/audit.py", "services/retention.py",
    "services/keydestroy.py", "schemas/test_cases.py", "worker/member.py", "worker/turns.py", "web/forms.py",
    "runtime_docker/states.py", "runtime_docker/handshake.py", "runtime_docker/labels.py", "runtime_docker/containers.py",
    "keysource_file/ring.py", "signin_oidc/config.py", "testtype_connection/http.py", "testtype_connection/protocol.py",
    "testtype_connection/run.py", "testtype_connection/malformed.py", "testtype_connection/served.py", "testtype_connection/leaving.py",
    "testtype_functionality/mirror.py", "testtype_functionality/paging.py", "testtype_functionality/prompting.py",
    "testtype_functionality/replacing.py", "testtype_functionality/frames.py", "testtype_functionality/run.py",
    "testtype_functionality/saved.py", "testtype_functionality/serving.py", "testtype_functionality/lists.py",
    "testtype_functionality/outputs.py", "testtype_functionality/behaviour.py", "testtype_performance/measure.py",
    "testtype_performance/growth.py", "testtype_performance/soak.py", "testtype_performance/compare.py",
    "testtype_security/posture.py", "testtype_security/drift.py", "testtype_security/schemas.py", "testtype_security/breadth.py",
    "testtype_security/hints.py",
    "testtype_security/probes/active.py", "testtype_security/probes/burden.py", "testtype_security/probes/rings.py", "testtype_security/probes/evaluation.py",
    "testtype_security/probes/paths.py", "testtype_security/probes/requests.py", "testtype_security/probes/schemes.py",
    "testtype_security/probes/shell.py", "testtype_security/probes/sql.py", "testtype_security/neighbours.py",
    "testtype_security/probes/__init__.py", "testtype_security/image.py", "testtype_security/secretwords.py",
    "testtype_security/probes/habits.py", "testtype_security/probes/leaks.py", "testtype_security/probes/results.py",
    "testtype_functionality/calls.py", "testtype_security/wording/__init__.py", "testtype_security/hidden.py", "testtype_security/decoding.py",
    "testtype_security/bounds.py", "testtype_security/regexes.py", "testtype_security/changes.py", "testtype_security/metadata.py",
    "testtype_security/secrets.py", "testtype_performance/subject.py",
)
"""Files whose sentences are put together from parts; parts are collected there as well."""
PLACE = "\0"
_MOST = 24
_SENTENCE = re.compile(r"\s*[A-Z0-9\0`'\"][^\n]* [^\n]*(?:[.!]\s*|[.:] ?\0)")
_PART = re.compile(r"(?!getent |python3 |throw |docker run |[A-Z][a-z]+ [a-z]+$)[ ,;:]*[A-Za-z\0`(][^\n\\|<>*=?]*[a-z]{2,} (?:a )?[a-z]{2,}[^\n\\|<>*=?]*")
_NAMED = re.compile(r"\{[a-z]\w*\}")
_HOLE = re.compile(r"[ :]\.$|: ;|, [;:]|\) [,;]|  ")  # an alternative that says nothing
_LITERAL = re.compile(r"[A-Za-z]{2}")
# a called name: where its sentence stands among what it is given
_CALLS = {"FieldError": 1, "progress": 1, "_progress": 1, "quarantine": 1, "put": 2, "ValidationError": 0, "Matches": 1, "SessionEnd": 1, "CheckResult": 2,
          "tell": 1, "_tell": 1}
_ASKS = ("call", "stream")  # what the engine was asked to do
_KEYWORDS = ("next_step", "detail", "status_detail", "message", "refusal")
_SKIPPED = ("log", "logging", "re", "argparse", "parser")


@cache
def of_code() -> dict[str, str]:
    """Return every sentence with the file it is from."""
    found: dict[str, str] = dict.fromkeys(OF_OTHERS, "")
    for folder in (paths.PACKAGE, paths.PACKAGE.parent / "plugins"):
        for file in sorted(folder.rglob("*.py")):
            name = file.relative_to(folder).as_posix()
            if not (folder == paths.PACKAGE and name.startswith(LEFT_OUT)):
                for text in of_file(file):
                    found.setdefault(text, name)
    return found


def of_file(file: Path) -> Iterator[str]:
    """Return the sentences of one file."""
    tree = _parsed(file)
    if file.parent.parent.name == "plugins" and file.name == "__init__.py":
        yield str(ast.get_docstring(tree)).split("\n")[0]  # what the plugin does
    yield from of_tree(tree, file.parent, parts=file.as_posix().endswith(PARTS))


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def of_tree(tree: ast.Module, folder: Path | None = None, *, parts: bool = False) -> Iterator[str]:
    """Return the sentences of a module: what is given to a failure or told of a job, all that reads like one, parts if wanted."""
    module = _Module(tree, folder)
    seen: set[str] = set()
    for node, scope in module.made:
        for expression in module.given(node) or ([node] if module.reads(node, parts) else module.added(node)):
            for text in module.texts(expression, scope):
                if expression is node or isinstance(node, ast.AugAssign):
                    text = text.strip(" ;,") if isinstance(node, ast.AugAssign) or parts else text.strip()
                text = _NAMED.sub(PLACE, text)
                told = numbered(text)
                if told not in seen and worth(text):
                    seen.add(told)
                    yield told


def worth(text: str) -> bool:
    """Tell whether there is something to translate: a word of our own, and no name alone."""
    bare = text.replace(PLACE, "")
    if _HOLE.search(text) or text != text.strip() or "\n" in text or "%(" in text:
        return False
    return bool(_LITERAL.search(bare)) and (" " in text.strip() or bare == text) and len(bare.strip(" .:,;()")) > 2


def numbered(text: str) -> str:
    """Return the text with its places as {0}, {1} …"""
    count = itertools.count()
    return re.sub(PLACE, lambda _: f"{{{next(count)}}}", text)


class _Module:
    """One parsed file."""

    def __init__(self, tree: ast.Module, folder: Path | None = None) -> None:
        self.given_names: dict[ast.AST | None, dict[str, list[ast.expr]]] = {None: {}}
        self.functions: dict[str, ast.FunctionDef] = {}
        self.grown: set[tuple[ast.AST | None, str]] = set()
        self.made: list[tuple[ast.AST, ast.AST | None]] = []
        """What may make a sentence, with the function around it; docstrings and what goes to a log are none."""
        self._read(tree)
        for node in tree.body:
            if folder is not None and isinstance(node, ast.ImportFrom):
                self._imported(node, folder)

    def _read(self, tree: ast.Module) -> None:
        waiting: list[tuple[ast.AST, ast.AST | None]] = [(tree, None)]
        while waiting:
            node, scope = waiting.pop()
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.Name | ast.expr_context | ast.operator | ast.alias | ast.arguments):
                    continue
                if isinstance(child, ast.Constant):
                    if isinstance(child.value, str) and " " in child.value and not _in_passing(node):
                        self.made.append((child, scope))
                    continue
                if isinstance(child, ast.Call) and _owner(child) in _SKIPPED:
                    continue
                if isinstance(child, ast.Call | ast.JoinedStr | ast.AugAssign):
                    self.made.append((child, scope))
                self._note(child, scope)
                waiting.append((child, child if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else scope))

    def _note(self, child: ast.AST, scope: ast.AST | None) -> None:
        """Keep what a name is given."""
        names = self.given_names.setdefault(scope, {})
        if isinstance(child, ast.FunctionDef):
            self.functions[child.name] = child
        elif isinstance(child, ast.Assign):
            for target in child.targets:
                self._assign(names, target, child.value)
        elif isinstance(child, ast.AnnAssign | ast.NamedExpr) and child.value is not None:
            self._assign(names, child.target, child.value)
        elif isinstance(child, ast.AugAssign) and isinstance(child.target, ast.Name):
            self.grown.add((scope, child.target.id))
        elif isinstance(child, ast.For | ast.comprehension) and isinstance(child.target, ast.Name):
            names.setdefault(child.target.id, []).append(child.target)  # not to be known

    def _imported(self, node: ast.ImportFrom, folder: Path) -> None:
        """Take over the texts another module of ours gives a name at its top."""
        place = folder.joinpath(*[".."] * (node.level - 1)) if node.level else paths.PACKAGE.parent
        file = place.joinpath(*(node.module or "").split(".")).with_suffix(".py")
        wanted = {one.name: one.asname or one.name for one in node.names if one.name.strip("_").isupper()}
        if not wanted or not file.is_file() or not (node.level or (node.module or "").startswith("mcpweb")):
            return
        for child in _parsed(file).body:
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

    def given(self, node: ast.AST) -> list[ast.expr]:
        """Return what a call is given to tell people."""
        if not isinstance(node, ast.Call):
            return []
        name = _name(node)
        found = [word.value for word in node.keywords if word.arg in _KEYWORDS] if name != "replace" else []
        if name in _FAILURES:
            found += node.args[:1]
        elif name == "setdefault" and isinstance(node.args[0], ast.Constant) and node.args[0].value in _KEYWORDS:
            found += node.args[1:]
        elif name == "Check":
            found += [one for one in node.args[1:4:2] if isinstance(one, ast.Constant)]
        elif name in _ASKS and node.args and isinstance(node.args[0], ast.Constant) and " " in str(node.args[0].value):
            found.append(node.args[0])
        elif name in _CALLS and len(node.args) > _CALLS[name]:
            found.append(node.args[_CALLS[name]])
        return found

    def added(self, node: ast.AST) -> list[ast.expr]:
        """Return what is put behind a sentence later on."""
        return [node.value] if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add) else []

    def reads(self, node: ast.AST, parts: bool) -> bool:
        """Tell whether a text looks like a sentence, or like a part of one."""
        if isinstance(node, ast.JoinedStr):
            text = _flat(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = _NAMED.sub(PLACE, node.value)
        else:
            return False
        return bool(_SENTENCE.fullmatch(text)) or (parts and bool(_PART.fullmatch(text)))

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
        if (scope, name) in self.grown and local is not None:
            found += [text + PLACE for text in found if not text.endswith(PLACE)]
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


def _in_passing(node: ast.AST) -> bool:
    """Tell whether a text in this place is a docstring, a piece of something that is read as a whole, or a list of words."""
    return isinstance(node, ast.Expr | ast.JoinedStr | ast.BinOp) or (isinstance(node, ast.Attribute) and node.attr == "split")


def _owner(node: ast.Call) -> str:
    return node.func.value.id if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) else ""


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    return {one.arg for one in (*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs)}


if __name__ == "__main__":
    for text, file in sorted(of_code().items(), key=lambda one: (one[1], one[0])):
        print(f"{file}\t{text}")
