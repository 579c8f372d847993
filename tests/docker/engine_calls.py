"""What the Docker runtime asks of an engine: recorded at a real one, and written as the allow-list of a socket proxy.

``python -m tests.docker.engine_calls`` writes ``deploy/socket-proxy.env`` anew; test_engine_calls.py holds that file against the record.
"""
from __future__ import annotations

import ast
import re
import secrets
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mcpweb import paths
from mcpweb.contracts import Mount, Planted, SecretDelivery, Sensitive
from mcpweb.demo import build_demo_image
from mcpweb.errors import Failure, StartFailed
from mcpweb.images.base import Rootfs, architecture
from mcpweb.images.engine import RuntimeEngine
from mcpweb.images.imagebuild import File, layer, load_on_top
from tests.docker.engine import ADDRESS, DockerRuntime, DockerSession, api, leftovers, tiny
from tests.docker.fault_proxy import FaultProxy

LIST = Path(__file__).resolve().parents[2] / "deploy/socket-proxy.env"
ADAPTER = paths.PLUGINS / "runtime_docker"
_NAME = "[a-zA-Z0-9][a-zA-Z0-9_.-]*"
_PART = "[a-zA-Z0-9][a-zA-Z0-9_.:@-]*"
WORDS = {  # what stands for a name in a path: nothing that could lead to another path
    "{container}": _NAME, "{network}": _NAME, "{volume}": _NAME, "{image}": f"{_PART}(/{_PART})*", "{version}": "v1[.][0-9]+",
}
HEAD = """\
# What mcpweb asks of the engine, and nothing else: for wollomatic/socket-proxy, by its environment. Each expression is matched against a whole
# path. Written by `python -m tests.docker.engine_calls` from the calls of plugins/runtime_docker; a test records them again and compares.
#
"""


class Record:
    """The requests of a runtime behind a proxy: (method, path as a template), and the functions of the client it used."""

    def __init__(self) -> None:
        self.templates: set[tuple[str, str]] = set()
        self.used: set[str] = set()

    def hear(self, lines: Iterable[bytes], names: dict[str, str]) -> None:
        for line in lines:
            method, path, _ = line.decode().split(" ")
            path = unquote(path.partition("?")[0])
            path = re.sub(r"/(container|network)s/[0-9a-f]{64}(?=/|$)", r"/\1s/{\1}", path)  # ids are the engine's own
            for name, word in sorted(names.items(), key=lambda pair: -len(pair[0])):
                path = re.sub(f"(?<=/){re.escape(name)}(?=/|$)", word, path)
            self.templates.add((method, re.sub(r"^/v1\.\d+/", "/{version}/", path)))


def record(image: str) -> Record:
    """Use everything the runtime can do at the real engine, and return what it asked for."""
    session, found = DockerSession(), Record()
    with tempfile.TemporaryDirectory(prefix="mcpweb-calls-") as folder, _watched(found):
        proxy = FaultProxy(Path(folder) / "engine.sock", ADDRESS.removeprefix("unix://"))
        try:
            names = {image: "{image}", **_use(DockerRuntime(proxy.address), session, image, Path(folder))}
        finally:
            proxy.close()
            left = leftovers(session)
    assert not left, left
    found.hear(proxy.requests, names)
    return found


@contextmanager
def _watched(found: Record) -> Iterator[None]:
    """Note which functions of the SDK's client the runtime takes."""
    from mcpweb_plugins.runtime_docker import transport

    class Watched(transport.Client):
        def __getattribute__(self, name: str) -> Any:
            found.used.add(name)
            return super().__getattribute__(name)

    plain, transport.Client = transport.Client, Watched  # type: ignore[misc]
    try:
        yield
    finally:
        transport.Client = plain  # type: ignore[misc]


def _use(runtime: DockerRuntime, session: DockerSession, image: str, folder: Path) -> dict[str, str]:
    """Run the runtime through its paces; return the names that appear in paths, and what they are names of."""
    names: dict[str, str] = {}
    instance = session.instance()
    short = instance[-8:]
    assert runtime.health().reachable
    events = runtime.events(instance, lambda: False)

    # images
    own = f"mcpweb-calls-{short}:1"
    layers = folder / "layer.tar"
    layers.write_bytes(layer({"note": File(b"x")}))
    load_on_top(RuntimeEngine(runtime), Rootfs((layers,), architecture()), own, entrypoint=["/nothing"])
    names[own] = "{image}"
    runtime.image(own), runtime.history(own), runtime.save_image(own, folder / "saved.tar")
    list(runtime.export_image(own, lambda: False))
    with suppress(Failure):
        runtime.pull(f"127.0.0.1:9/nobody/{short}:1", lambda fraction, sentence: None)

    # a server over standard input, with secrets both ways and a volume
    volume = f"mcpweb-{short}-data"
    names[volume] = "{volume}"
    stdio = session.intent(image, tiny(mounts=(Mount("volume", "data", "/data"),)), instance=instance)
    ways = [SecretDelivery("BY_STDIN", Sensitive(secrets.token_hex(8))), SecretDelivery("BY_FILE", Sensitive(secrets.token_hex(8)), "file")]
    one = runtime.launch(replace(stdio, secrets=tuple(ways)))
    names[stdio.name] = "{container}"
    assert next(events)
    runtime.attach(one.container_id).close()
    runtime.inspect(one.container_id), runtime.containers(instance)
    runtime.changes(one.container_id), runtime.processes(one.container_id), runtime.resident(one.container_id)
    assert next(sample for sample in runtime.stats(one.container_id, lambda: False) if sample)
    one.socket.close()

    # its name is taken; a start that fails; one that stops
    config = tiny("http", transport="http", port=8000, network="published")
    http = replace(session.intent(image, config, instance=instance), name=f"{stdio.name}-http")
    two = runtime.launch(http)
    two.socket.close()
    runtime.launch(stdio).socket.close()  # the leftover of the same name makes way
    with suppress(StartFailed):
        runtime.launch(replace(stdio, name=f"{stdio.name}-x", config=tiny(user="nobody-of-that-name")))

    # what a test plants
    planted = f"mcpweb-{short}-planted-{secrets.token_hex(3)}"
    names[planted] = "{volume}"
    helper = replace(stdio, name=f"{stdio.name}-h", role="helper", planted=(Planted(planted, "/planted", writable=True),))
    runtime.remove(runtime.launch(helper).container_id)
    seen = replace(stdio, name=f"{stdio.name}-t", role="test", planted=(Planted(planted, "/srv/planted"),))
    runtime.remove(runtime.launch(seen).container_id)
    assert runtime.planted(instance) == [planted]
    runtime.remove_planted(instance, planted)

    # and all of it away
    client = api()
    for network in client.networks(filters={"label": f"mcpweb.instance={instance}"}):
        names[network["Name"]] = "{network}"
    for state in runtime.containers(instance):
        runtime.stop(state.id, 0)
        runtime.remove(state.id)
    runtime.cleanup(instance)
    client.remove_image(own)
    for one_volume in client.volumes(filters={"label": f"mcpweb.instance={instance}"})["Volumes"] or []:
        client.remove_volume(one_volume["Name"])
    client.close()
    return names


def written_calls() -> tuple[set[str], set[tuple[str, str]]]:
    """Read from the adapter's source which functions of the client it takes, and which paths it puts together by hand."""
    used: set[str] = set()
    by_hand: set[tuple[str, str]] = set()
    for file in ADAPTER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "client":
                used.add(node.attr)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("send_json", "send_empty"):
                by_hand.add((str(ast.literal_eval(node.args[0])), _path(node.args[1])))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "head_header":
                by_hand.add(("HEAD", _path(node.args[0])))
    return used, by_hand


def _path(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return str(ast.literal_eval(node))


def expressions(templates: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return one regular expression a method, in brackets, so that it can be anchored whoever does it."""
    made = {}
    for method in sorted({method for method, _ in templates}):
        ways = []
        for path in sorted(path for own, path in templates if own == method):
            ways.append("".join(WORDS.get(part) or part.replace(".", "[.]") for part in re.split(r"(\{\w+\})", path)))
        made[method] = f"({'|'.join(ways)})"
    return made


def as_text(templates: set[tuple[str, str]]) -> str:
    listed = "".join(f"#   {method:6} {path}\n" for method, path in sorted(templates, key=lambda one: (one[1], one[0])))
    return HEAD + listed + "".join(f"SP_ALLOW_{method}={words}\n" for method, words in expressions(templates).items())


def read_list(text: str) -> tuple[set[tuple[str, str]], dict[str, str]]:
    """Return the templates and the expressions of the file."""
    templates = {(method, path) for method, path in re.findall(r"^#   (\w+) +(/\S+)$", text, re.M)}
    return templates, dict(re.findall(r"^SP_ALLOW_(\w+)=(.+)$", text, re.M))


if __name__ == "__main__":
    found = record(build_demo_image(RuntimeEngine(DockerRuntime(ADDRESS)), lambda sentence: None))
    LIST.write_text(as_text(found.templates))
    print(f"{LIST}: {len(found.templates)} calls")
    sys.exit(0)
