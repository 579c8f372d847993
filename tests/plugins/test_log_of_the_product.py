"""The log of the running product: lines of JSON that say what belongs to what, and never the value that was in flight."""
from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path

from mcpweb.testing.served import Served

CANARY = "canary-71d6e2c4b9a853f0"
FOREIGN = "abcdefghijklmnop0123456789ABCDEFGHIJ"
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
    served = Served(tmp_path, MCPWEB_PLUGINS_DIR=str(folder), MCPWEB_LOG_LEVEL="info")
    served.cli("users", "add", "ada", "--role", "admin", "--password-stdin", given="a long pass phrase\n")
    token = served.cli("tokens", "create", "--user", "ada", "--name", "all").strip()
    served.start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
        body = json.dumps({"name": "API_KEY", "value": CANARY + "-the-secret"})
        connection.request("POST", "/api/v1/secrets", body, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        assert connection.getresponse().status == 201
        connection.close()
        with socket.create_connection(("127.0.0.1", served.port)) as sock:  # the web server tells a broken line as it came
            sock.sendall(f"GET / HTTP/1.1\r\nAuthorization Bearer {FOREIGN}\r\n\r\n".encode())
            assert sock.recv(100)
    finally:
        served.stop()
    log = (tmp_path / "serve.log").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert {line["process"].split(":")[0] for line in lines} == {"web", "worker"}
    (asked,) = [line for line in lines if line.get("method") == "POST"]
    assert (asked["route"], asked["status"], asked["actor"][:10]) == ("/api/v1/secrets", 201, "token:tok_") and asked["request"][:4] == "req_"
    (failed,) = [line for line in lines if "spiller.py" in line.get("trace", "")]
    assert failed["request"] == asked["request"] and failed["level"] == "warning"
    (broken,) = [line for line in lines if line["logger"] == "gunicorn.error" and "Invalid" in line["message"]]
    assert "[redacted]" in broken["message"] and FOREIGN not in log and token not in log
    assert "plugin spiller failed in mcpweb_track_event" in log and "ValueError" in log and "spiller.py:" in log
    assert CANARY not in log
