"""Images for tests, made on this machine and kept from run to run: ``build_image(name) -> reference``.

    fixture      tests/docker/images/fixture.py on Python; ``command=("mute", "--at", "call")`` chooses its mode,
                 ``command=("open", "--http", "8000")`` with ``transport="http", port=8000`` its HTTP twin
    corpus       the servers of tests/corpus; ``command=("sound",)`` chooses one, ``("sound", "--http", "8000")`` its HTTP twin
    time         mcp-server-time from PyPI
    everything   @modelcontextprotocol/server-everything from npm; ``command=("streamableHttp",)`` with
                 ``transport="http", port=3001`` speaks HTTP
    filesystem   @modelcontextprotocol/server-filesystem from npm, allowed to see /data and /tmp
    static       web-researcher-mcp from PyPI: one static Go program and nothing else, no shell, no /etc/passwd

A reference carries a hash of all that went into the image, so a change makes a new one and the rest costs one look at
the engine. Two test workers never build the same thing twice: a lock file sees to it. The images carry the label
``mcpweb.test.image=1``; ``python -m tests.docker.images`` makes them all, ``… --remove`` removes them.
"""
from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mcpweb.images import base, imagebuild
from mcpweb.images.engine import RuntimeEngine
from tests.docker.engine import ADDRESS, DockerRuntime
from tests.docker.images import parts

LABEL = "mcpweb.test.image"
FIXTURE = Path(__file__).with_name("fixture.py")
CORPUS = sorted((Path(__file__).parents[2] / "corpus").glob("*.py"))


@dataclass(frozen=True)
class Recipe:
    """What one image is made of."""

    root: Callable[[base.Engine], base.Rootfs]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    folders: Mapping[str, int] = field(default_factory=dict)
    layers: tuple[parts.Part, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()

    def digest(self) -> str:
        """Return a short hash of everything the image depends on."""
        said = {
            "root": self.root.__name__, "entrypoint": self.entrypoint, "command": self.command, "ports": self.ports,
            "files": {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in self.files.items()},
            "folders": dict(self.folders), "environment": dict(self.environment),
            "layers": [asdict(part) for part in self.layers], "base": base.PACKAGES,
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]


def _npm(package: str, *command: str, ports: tuple[int, ...] = ()) -> Recipe:
    return Recipe(
        root=parts.bare_base, layers=(parts.NODE, parts.NPM), command=command, ports=ports,
        entrypoint=("node", f"/opt/node_modules/@modelcontextprotocol/{package}/dist/index.js"),
        folders={"data": 0o1777},
    )


RECIPES = {
    "fixture": Recipe(
        root=parts.python_base, entrypoint=("python3", "-u", "/srv/fixture.py"), files={"srv/fixture.py": FIXTURE},
        folders={"var/lib/fixture": 0o1777}, ports=(8000,),
    ),
    "corpus": Recipe(
        root=parts.python_base, entrypoint=("python3", "-u", "/srv/corpus/main.py"), command=("sound",),
        files={f"srv/corpus/{path.name}": path for path in CORPUS if path.stem != "__init__"},
        folders={"data": 0o1777}, ports=(8000,),
    ),
    "time": Recipe(
        root=parts.python_base, layers=(parts.TIME,), entrypoint=("python3", "-m", "mcp_server_time"),
        command=("--local-timezone", "UTC"), environment={"PYTHONPATH": "/opt/packages"},
    ),
    "static": Recipe(
        root=parts.empty_base, layers=(parts.STATIC,), entrypoint=("/bin/server",), environment={"HOME": "/tmp"},
    ),
    "everything": _npm("server-everything", "stdio", ports=(3001,)),
    "filesystem": _npm("server-filesystem", "/data", "/tmp"),
}


def build_image(name: str) -> str:
    """Return the reference of a test image, making it when the engine does not have it."""
    recipe = RECIPES[name]
    reference = f"mcpweb-test-{name}:{recipe.digest()}"
    engine = RuntimeEngine(DockerRuntime(ADDRESS))
    if engine.has_image(reference):
        return reference
    with open(parts.cache_folder() / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not engine.has_image(reference):
            _build(engine, recipe, reference)
    return reference


def _build(engine: RuntimeEngine, recipe: Recipe, reference: str) -> None:
    root = recipe.root(engine)
    imagebuild.load_on_top(
        engine, root, reference,
        files={name: imagebuild.File(path.read_bytes()) for name, path in recipe.files.items()},
        folders=recipe.folders,
        extra=[part.layer(root) for part in recipe.layers],
        entrypoint=recipe.entrypoint,
        command=recipe.command,
        environment=recipe.environment,
        labels={LABEL: "1"},
        ports=recipe.ports,
    )
