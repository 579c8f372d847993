"""Write a complete plugin project: it installs, its tests pass, and it does something from the first minute."""
from __future__ import annotations

from pathlib import Path

from mcpweb.errors import Conflict, InvalidInput, StorageUnusable
from mcpweb.hookspecs import API_VERSION
from mcpweb.pluginhost import NAME

TEMPLATE = Path(__file__).parent / "template"
KINDS = {
    "testtype": "A test type: looks at a server and tells verdicts.",
    "cipher": "A cipher: encrypts secrets in another way.",
    "keysource": "A key source: keeps the keys that wrap the keys.",
    "runtime": "A runtime: runs servers on another engine.",
    "events": "Hears what happens, and tells somebody.",
}
MOST = 40  # letters of a name


def new(name: str, kind: str, parent: Path) -> list[Path]:
    """Write the project into ``parent/mcpweb-plugin-NAME`` and return its files. Raises InvalidInput, Conflict."""
    import jinja2

    if kind not in KINDS:
        raise InvalidInput(f"{kind} is no kind of plugin.", next_step=f"There are {', '.join(KINDS)}.")
    if not NAME.fullmatch(name) or len(name) > MOST or name in ("core", "plugins"):
        raise InvalidInput(
            f"{name!r} is not a plugin name.",
            next_step=f"Lower-case letters, digits and underscores, at most {MOST}, a letter first.",
        )
    target = parent / f"mcpweb-plugin-{name.replace('_', '-')}"
    words = {
        "name": name, "kind": kind, "package": f"mcpweb_{name}", "dashed": name.replace("_", "-"), "api": str(API_VERSION),
        "Name": "".join(part.capitalize() for part in name.split("_")), "title": name.replace("_", " ").capitalize(),
        "UPPER": name.upper(), "what": KINDS[kind], "token": name.replace("_", "").upper()[:32],
    }
    environment = jinja2.Environment(  # noqa: S701 - text, not markup
        loader=jinja2.FileSystemLoader(TEMPLATE), undefined=jinja2.StrictUndefined, keep_trailing_newline=True,
    )
    made = []
    try:
        target.mkdir(parents=True)
        for root in ("common", kind):
            for source in sorted((TEMPLATE / root).rglob("*.jinja")):
                place = source.relative_to(TEMPLATE / root).as_posix().removesuffix(".jinja").replace("PACKAGE", words["package"])
                file = target / str(place)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(environment.get_template(source.relative_to(TEMPLATE).as_posix()).render(words))
                made.append(file)
    except FileExistsError:
        raise Conflict(f"{target} is there already.", next_step="Choose another name, or another folder with --into.") from None
    except OSError as error:
        raise StorageUnusable(f"{target} cannot be written: {error.strerror}.") from None
    return made
