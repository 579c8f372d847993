"""Look at a plugin before it is installed: its source first, without running it, then loaded in a child with limits."""
from __future__ import annotations

import ast
import difflib
import importlib.metadata
import inspect
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcpweb import pluginload, pluginprobe
from mcpweb.errors import InvalidInput, NotFound
from mcpweb.hookspecs import API_VERSION, PROJECT, Specs
from mcpweb.pluginhost import GROUP, NAME
from mcpweb.settings import Settings

LIMIT_S = 20.0
HOOKS = {
    name: [one for one in inspect.signature(function).parameters if one != "self"]
    for name, function in vars(Specs).items() if name.startswith(f"{PROJECT}_")
}
MAY_IMPORT = ("mcpweb.plugin",)


@dataclass(frozen=True)
class Place:
    """A plugin that was found: its name, which door it would come through, and where it lies."""

    name: str
    source: str
    origin: str
    module: Path
    path: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """``level`` is problem (it would not load, or break a promise), warning, or ok (what was seen)."""

    level: str
    where: str
    sentence: str


def find(given: str, settings: Settings) -> Place:
    """Return the plugin at a path (a project, a package, a file) or of a name. Raises NotFound, InvalidInput."""
    path = Path(given)
    if (path / "pyproject.toml").is_file():
        return _of_project(path.resolve())
    if path.is_dir() or path.suffix == ".py":
        if not path.exists() or (path.is_dir() and not (path / "__init__.py").is_file()):
            raise InvalidInput(f"{path} holds no plugin.", next_step="Name a project, a package with __init__.py, or a .py file.")
        path = path.resolve()
        return Place(path.stem, "folder", str(path), path)
    for entry in importlib.metadata.entry_points(group=GROUP, name=given):
        files = pluginprobe.files_of("installed", entry.value)
        if files:
            top = files[0].parent if any(file.name == "__init__.py" for file in files) else files[0]
            return Place(given, "installed", entry.value, top)
    folder = settings.plugins_dir
    for candidate in ((folder / given, folder / f"{given}.py") if folder and NAME.fullmatch(given) else ()):
        if candidate.exists():
            return Place(given, "folder", str(candidate), candidate)
    raise NotFound(f"There is no plugin {given}, and no such path.", next_step="`mcpweb plugins list` shows all.")


def _of_project(path: Path) -> Place:
    try:
        data = tomllib.loads((path / "pyproject.toml").read_text())
        entries = data["project"]["entry-points"][GROUP]
        (name, value), = entries.items()
        package = str(value).split(":")[0].split(".")[0]
    except (tomllib.TOMLDecodeError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise InvalidInput(
            f"{path / 'pyproject.toml'} names no plugin ({type(error).__name__}: {error}).",
            next_step=f'It needs one entry below [project.entry-points."{GROUP}"]: name = "module".',
        ) from None
    for root in (path / "src", path):
        for candidate in (root / package, root / f"{package}.py"):
            if candidate.exists():
                return Place(name, "installed", str(value), candidate, (str(root),))
    raise InvalidInput(f"{path} names the module {package}, which is not in it.", next_step=f"It is looked for in src/{package}.")


def check(place: Place, settings: Settings) -> list[Finding]:
    """Return what there is to say about a plugin; nothing of it runs in this process."""
    found = list(_source(place))
    if any(one.level == "problem" for one in found):
        return [*found, Finding("warning", place.name, "It was not loaded, for its source is not in order.")]
    return [*found, *_loaded(place, settings)]


def _loaded(place: Place, settings: Settings) -> Iterator[Finding]:
    told = pluginload.in_child(
        place.name, place.source, place.origin, whole=True, limit_s=LIMIT_S, environment=settings.clean(),
        path=[*place.path, *(one for one in sys.path if one)],
    )
    if told["error"]:
        yield Finding("problem", place.name, told["error"].strip())
        return
    for fault in told["faults"]:
        yield Finding("problem", place.name, f"Calling its hooks failed: {fault}")
    brought = "; ".join(f"{hook}: {', '.join(names)}" for hook, names in told["contributes"].items() if names)
    cost = f"It loads in {told['load_ms']:g} ms with {told['memory_mb']} MB."
    yield Finding("ok", place.name, f"{cost} Hooks: {', '.join(told['hooks'])}.")
    if brought:
        yield Finding("ok", place.name, f"It brings {brought}.")


def _source(place: Place) -> Iterator[Finding]:
    if not NAME.fullmatch(place.name):
        yield Finding("problem", place.name, "A plugin's name has lower-case letters, digits and underscores, a letter first.")
    files = sorted(place.module.rglob("*.py")) if place.module.is_dir() else [place.module]
    entry = place.module / "__init__.py" if place.module.is_dir() else place.module
    for file in files:
        where = str(file.relative_to(place.module.parent))
        try:
            tree = ast.parse(file.read_bytes(), str(file))
        except (SyntaxError, ValueError) as error:
            yield Finding("problem", f"{where}:{getattr(error, 'lineno', 1) or 1}", f"SyntaxError: {error}")
            continue
        yield from _imports(tree, where)
        if file == entry:
            yield from _entry(tree, where)


def _imports(tree: ast.Module, where: str) -> Iterator[Finding]:
    skipped = {
        id(node) for block in ast.walk(tree) if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in skipped or not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif node.module == "mcpweb":
            names = [f"mcpweb.{alias.name}" for alias in node.names]
        else:
            names = [node.module or ""] if node.level == 0 else []
        for name in names:
            if name.split(".")[0] == "mcpweb_plugins":
                yield Finding("problem", f"{where}:{node.lineno}", f"It imports {name}; another plugin may be gone any day.")
            elif name.startswith("mcpweb.testing."):
                yield Finding("warning", f"{where}:{node.lineno}", f"It stands on {name}, which is for tests.")
            elif name.split(".")[0] == "mcpweb" and name not in MAY_IMPORT:
                yield Finding("problem", f"{where}:{node.lineno}", f"It imports {name}; only mcpweb.plugin stays stable.")


def _entry(tree: ast.Module, where: str) -> Iterator[Finding]:
    if not (ast.get_docstring(tree) or "").strip():
        yield Finding("problem", f"{where}:1", "It has no docstring; its first line is shown on the Plugins page.")
    api = next(
        (node for node in tree.body if isinstance(node, ast.Assign) and any(
            isinstance(one, ast.Name) and one.id == "mcpweb_api" for one in node.targets
        )), None,
    )
    if api is None:
        yield Finding("problem", f"{where}:1", f"It does not say which plugin API it is built for: mcpweb_api = {API_VERSION}.")
    elif not (isinstance(api.value, ast.Constant) and api.value.value == API_VERSION):
        given = ast.unparse(api.value)
        yield Finding("problem", f"{where}:{api.lineno}", f"It is built for plugin API {given}, this is {API_VERSION}.")
    hooks = 0
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marked = [one for one in node.decorator_list if "hookimpl" in ast.unparse(one)]
            if marked:
                hooks += 1
                optional = any("optionalhook" in ast.unparse(one) for one in marked)
                yield from _hook(node, f"{where}:{node.lineno}", optional=optional)
            elif node.name.startswith(f"{PROJECT}_"):
                said = f"{node.name} is not marked with @hookimpl, so nobody calls it."
                yield Finding("problem", f"{where}:{node.lineno}", said)
    if not hooks:
        yield Finding("warning", f"{where}:1", "It implements no hook in the module that is its entry, so it does nothing.")


def _hook(node: ast.FunctionDef | ast.AsyncFunctionDef, where: str, *, optional: bool) -> Iterator[Finding]:
    if node.name not in HOOKS:
        near = difflib.get_close_matches(node.name, HOOKS, 1)
        hint = f" Is it {near[0]}?" if near else " `mcpweb docs hooks` prints all."
        if not optional:
            yield Finding("problem", where, f"{node.name} is not a hook.{hint}")
        return
    if isinstance(node, ast.AsyncFunctionDef):
        yield Finding("problem", where, f"{node.name} is async; hooks are plain functions.")
    known = HOOKS[node.name]
    needed = node.args.args[: len(node.args.args) - len(node.args.defaults)]
    for argument in [*needed, *node.args.posonlyargs]:
        if argument.arg not in known:
            yield Finding("problem", where, f"{node.name} takes {', '.join(known) or 'no argument'}; there is no {argument.arg}.")


