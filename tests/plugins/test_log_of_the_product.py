"""What breaks in the running product is told in its log with place and type, and never with the value that was in flight."""
from __future__ import annotations

import http.client
import json
from pathlib import Path

from mcpweb.testing.served import Served

CANARY = "canary-71d6e2c4b9a853f0"
SPILLER = f'''"""Fails with what it was told, in each hook it has."""
from mcpweb.plugin import hookimpl

mcpweb_api = 1


@hookimpl
def mcpweb_track_event(event):
    try:
        raise KeyError("-".join({CANARY.split("-")}))
    except KeyError as error:
        raise ValueError(f"cannot take {{error}}") from error
'''


def test_a_plugin_that_fails_with_a_value_in_its_words_leaves_type_and_place_in_the_log(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o700)
    (folder / "spiller.py").write_text(SPILLER)
    served = Served(tmp_path, MCPWEB_PLUGINS_DIR=str(folder))
    served.cli("users", "add", "ada", "--role", "admin", "--password-stdin", given="a long pass phrase\n")
    token = served.cli("tokens", "create", "--user", "ada", "--name", "all").strip()
    served.start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
        body = json.dumps({"name": "API_KEY", "value": CANARY + "-the-secret"})
        connection.request("POST", "/api/v1/secrets", body, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        assert connection.getresponse().status == 201
        connection.close()
    finally:
        served.stop()
    log = served.log()
    assert "plugin spiller failed in mcpweb_track_event" in log and "ValueError" in log and "spiller.py:" in log
    assert CANARY not in log
