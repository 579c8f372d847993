"""The tiny MCP server as a program, for any image with python3: stdio by default, ``http``, or ``exit CODE``."""

import hashlib
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

mode = sys.argv[1] if len(sys.argv) > 1 else "stdio"
if mode == "exit":
    sys.exit(int(sys.argv[2]))
print("ready", file=sys.stderr, flush=True)


def digest(variable):
    if variable in os.environ:
        return {"from": "environment", "sha256": hashlib.sha256(os.environb[variable.encode()]).hexdigest()}
    if variable + "_FILE" in os.environ:
        with open(os.environ[variable + "_FILE"], "rb") as file:
            return {"from": "file", "sha256": hashlib.sha256(file.read()).hexdigest()}
    return {"from": "nowhere"}


def answer(text):
    message = json.loads(text)
    if "id" not in message:
        return None
    reply = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] == "initialize":
        info = {"name": "tiny", "version": "1.0"}
        reply["result"] = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    elif message["method"] == "tools/list":
        reply["result"] = {"tools": []}
    elif message["method"] == "tools/call" and message["params"]["name"] == "digest":
        told = digest(message["params"]["arguments"]["variable"])
        reply["result"] = {"content": [{"type": "text", "text": json.dumps(told)}], "isError": False}
    else:
        reply["error"] = {"code": -32601, "message": "Method not found"}
    return json.dumps(reply)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        reply = answer(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200 if reply else 202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply or "")))
        self.end_headers()
        self.wfile.write((reply or "").encode())


if mode == "http":
    ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
for line in sys.stdin:
    reply = answer(line)
    if reply:
        print(reply, flush=True)
