"""A small MCP server on the standard library alone: stdio, or streamable HTTP with ``--http PORT``.

It speaks both eras of the protocol: the handshake (``initialize``, to 2025-11-25) and the stateless one (2026-07-28).
One weakness is left in on purpose, so that a newcomer sees what a finding looks like: ``read_note`` joins what it is
given to a path without looking.
"""

import json
import os
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

MODERN = "2026-07-28"
HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
INFO = {"name": "mcpweb-demo", "version": "1.0.0", "title": "Demo"}
CAPABILITIES = {"tools": {}, "resources": {}, "prompts": {}}
META = "io.modelcontextprotocol/"
LOOPBACK = ("127.0.0.1", "::1", "localhost")  # a page from anywhere else has no business here, whatever Host says
NOTES = {"welcome.txt": "Welcome. Press Test to see what this server does well, and what it does not.\n",
         "shopping.txt": "Tea, oranges, a length of rope.\n"}
NOTES_FOLDER = os.environ.get("NOTES_FOLDER", "/tmp/notes")


class RpcError(Exception):
    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


def schema(required=(), **properties):
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


SAFE = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": False}
TOOLS = [
    {"name": "echo", "description": "Return the text as it came.", "annotations": SAFE,
     "inputSchema": schema(["text"], text={"type": "string", "maxLength": 10000, "description": "Any text."})},
    {"name": "count_words", "description": "Count the words and characters of a text.", "annotations": SAFE,
     "inputSchema": schema(["text"], text={"type": "string", "maxLength": 100000, "examples": ["two words"]}),
     "outputSchema": schema(["words", "characters"], words={"type": "integer", "minimum": 0},
                            characters={"type": "integer", "minimum": 0})},
    {"name": "calculate", "description": "Apply one operation to two numbers.", "annotations": SAFE,
     "inputSchema": schema(["operation", "a", "b"],
                           operation={"type": "string", "enum": ["add", "subtract", "multiply", "divide"]},
                           a={"type": "number", "minimum": -1e9, "maximum": 1e9},
                           b={"type": "number", "minimum": -1e9, "maximum": 1e9}),
     "outputSchema": schema(["result"], result={"type": "number"})},
    {"name": "roll_dice", "description": "Roll some dice; the same seed gives the same roll.",
     "annotations": SAFE,
     "inputSchema": schema(["dice"], dice={"type": "integer", "minimum": 1, "maximum": 100, "default": 2},
                           seed={"type": "integer", "default": 1}),
     "outputSchema": schema(["rolls", "sum"], rolls={"type": "array", "items": {"type": "integer"}},
                            sum={"type": "integer"})},
    {"name": "wait", "description": "Wait some seconds and report progress meanwhile.", "annotations": SAFE,
     "inputSchema": schema(["seconds"], seconds={"type": "number", "minimum": 0, "maximum": 20, "default": 1})},
    {"name": "list_notes", "description": "List the names of all notes.", "annotations": SAFE,
     "inputSchema": schema()},
    {"name": "read_note", "description": "Read a note by its name, for example welcome.txt.",
     "inputSchema": schema(["path"], path={"type": "string", "examples": ["welcome.txt"]})},
]
RESOURCES = [{"uri": "note://welcome.txt", "name": "welcome", "mimeType": "text/plain"}]
PROMPTS = [{"name": "summarise", "description": "Ask for a summary of a text.",
            "arguments": [{"name": "text", "description": "What to summarise.", "required": True}]}]


# Tools


def check(value, rules, where="arguments"):
    """Hold a value against the few schema words used above; raise ValueError with a sentence."""
    kinds = {"object": dict, "string": str, "array": list, "integer": int, "number": (int, float)}
    kind = rules.get("type")
    if not isinstance(value, kinds[kind]) or (isinstance(value, bool) and kind in ("integer", "number")):
        raise ValueError(f"{where} is not of type {kind}")
    if kind == "object":
        for name in rules["required"]:
            if name not in value:
                raise ValueError(f"{where}: {name} is missing")
        for name, inner in value.items():
            if name not in rules["properties"]:
                raise ValueError(f"{where}: {name[:40]} is not known")
            check(inner, rules["properties"][name], name)
    if "enum" in rules and value not in rules["enum"]:
        raise ValueError(f"{where} is not one of {', '.join(rules['enum'])}")
    if "maxLength" in rules and len(value) > rules["maxLength"]:
        raise ValueError(f"{where} is longer than {rules['maxLength']}")
    if kind in ("integer", "number") and not rules.get("minimum", value) <= value <= rules.get("maximum", value):
        raise ValueError(f"{where} is out of range")


def text_of(text, structured=None):
    result = {"content": [{"type": "text", "text": text}]}
    return result if structured is None else result | {"structuredContent": structured}


def structured_of(value):
    return text_of(json.dumps(value), value)


def call_tool(name, arguments, progress, cancelled):
    """Run a tool; what goes wrong inside is a result with isError, not a protocol error."""
    tool = next((tool for tool in TOOLS if tool["name"] == name), None)
    if tool is None:
        raise RpcError(-32602, f"Unknown tool: {str(name)[:80]}")
    try:
        check(arguments, tool["inputSchema"])
        return run_tool(name, arguments, progress, cancelled)
    except (ValueError, OSError, ZeroDivisionError, OverflowError) as error:
        return text_of(f"{name}: {error}") | {"isError": True}


def run_tool(name, arguments, progress, cancelled):
    if name == "echo":
        return text_of(arguments["text"])
    if name == "count_words":
        return structured_of({"words": len(arguments["text"].split()), "characters": len(arguments["text"])})
    if name == "calculate":
        a, b = arguments["a"], arguments["b"]
        operations = {"add": lambda: a + b, "subtract": lambda: a - b, "multiply": lambda: a * b, "divide": lambda: a / b}
        return structured_of({"result": operations[arguments["operation"]]()})
    if name == "roll_dice":
        dice = random.Random(arguments.get("seed", 1))
        rolls = [dice.randint(1, 6) for _ in range(arguments["dice"])]
        return structured_of({"rolls": rolls, "sum": sum(rolls)})
    if name == "wait":
        total = arguments["seconds"]
        until = time.monotonic() + total
        while (left := until - time.monotonic()) > 0 and not cancelled.is_set():
            progress(total - left, total)
            cancelled.wait(min(left, 0.25))
        return text_of(f"Waited {total:g} s.")
    if name == "list_notes":
        return text_of("\n".join(sorted(os.listdir(NOTES_FOLDER))))
    with open(os.path.join(NOTES_FOLDER, arguments["path"]), encoding="utf-8", errors="replace") as note:
        return text_of(note.read(100000))


# Protocol


def dispatch(method, params, progress, cancelled, not_found):
    """Answer one request, the same in both eras but for the code of a resource that is not there."""
    if not isinstance(params, dict):
        raise RpcError(-32602, "params must be an object")
    if method in ("tools/list", "resources/list", "prompts/list", "resources/templates/list"):
        if params.get("cursor") is not None:
            raise RpcError(-32602, "Unknown cursor")
        key = {"tools/list": "tools", "resources/list": "resources", "prompts/list": "prompts"}.get(method)
        return {key: globals()[key.upper()]} if key else {"resourceTemplates": []}
    if method == "tools/call":
        return call_tool(params.get("name"), params.get("arguments", {}), progress, cancelled or threading.Event())
    if method == "resources/read":
        name = str(params.get("uri", "")).removeprefix("note://")
        if name not in NOTES:
            raise RpcError(not_found, "Resource not found", {"uri": params.get("uri")})
        return {"contents": [{"uri": params["uri"], "mimeType": "text/plain", "text": NOTES[name]}]}
    if method == "prompts/get":
        arguments = params.get("arguments") or {}
        if params.get("name") != "summarise" or not isinstance(arguments.get("text"), str):
            raise RpcError(-32602, "Unknown prompt, or the argument text is missing")
        text = f"Summarise this in one sentence:\n\n{arguments['text']}"
        return {"messages": [{"role": "user", "content": {"type": "text", "text": text}}]}
    raise RpcError(-32601, f"Method not found: {str(method)[:80]}")


class Connection:
    """The state of one connection: which era it settled on."""

    def __init__(self):
        self.era = None
        self.version = HANDSHAKE[-1]

    def answer(self, method, params, progress=lambda done, total: None, cancelled=None):
        params = {} if params is None else params
        if method == "initialize":
            if self.era == "modern":
                raise RpcError(-32022, "This connection speaks " + MODERN, {"supported": [MODERN]})
            if not isinstance(params, dict) or not isinstance(params.get("protocolVersion"), str):
                raise RpcError(-32602, "protocolVersion is missing")
            self.era = "handshake"
            self.version = params["protocolVersion"] if params["protocolVersion"] in HANDSHAKE else HANDSHAKE[-1]
            return {"protocolVersion": self.version, "capabilities": CAPABILITIES, "serverInfo": INFO}
        if self.era == "handshake":
            return {} if method == "ping" else dispatch(method, params, progress, cancelled, -32002)
        meta = params.get("_meta") if isinstance(params, dict) else None
        version = meta.get(META + "protocolVersion") if isinstance(meta, dict) else None
        if not isinstance(version, str) or not isinstance(meta.get(META + "clientCapabilities"), dict):
            raise RpcError(-32602, "params._meta must carry protocolVersion and clientCapabilities")
        if version != MODERN:
            raise RpcError(-32022, "Unsupported protocol version", {"supported": [MODERN], "requested": version})
        self.era = "modern"
        if method == "server/discover":
            result = {"supportedVersions": [MODERN], "capabilities": CAPABILITIES, "ttlMs": 0, "cacheScope": "private"}
        else:
            result = dict(dispatch(method, params, progress, cancelled, -32602))
            if method.endswith("/list") or method == "resources/read":
                result |= {"ttlMs": 0, "cacheScope": "private"}
        return result | {"resultType": "complete", "_meta": {META + "serverInfo": INFO}}


def reply_to(connection, message, progress=lambda done, total: None, cancelled=None):
    """Return the reply to one decoded message, None for a notification or a response."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Not a JSON-RPC request"}}
    if "method" not in message or "id" not in message:
        return None
    if not isinstance(message["id"], (str, int)) or isinstance(message["id"], bool):
        return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "The id is a text or a number"}}
    try:
        result = connection.answer(message["method"], message.get("params"), progress, cancelled)
        return {"jsonrpc": "2.0", "id": message["id"], "result": result}
    except RpcError as error:
        return {"jsonrpc": "2.0", "id": message["id"], "error": error.error}


# Transports


def progress_token(message):
    """Return the token of a tool call that asks for progress, else None."""
    params = message.get("params") if isinstance(message, dict) and message.get("method") == "tools/call" else None
    meta = params.get("_meta") if isinstance(params, dict) else None
    return meta.get("progressToken") if isinstance(meta, dict) else None


def progress_of(token, done, total):
    params = {"progressToken": token, "progress": round(done, 2), "total": total}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}


def serve_stdio():
    connection, lock, running = Connection(), threading.Lock(), {}

    def write(message):
        with lock:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()

    def work(message, cancelled):
        token = progress_token(message)

        def progress(done, total):
            if token is not None and not cancelled.is_set():
                write(progress_of(token, done, total))

        reply = reply_to(connection, message, progress, cancelled)
        running.pop(message["id"], None)
        if not cancelled.is_set():
            write(reply)

    for line in sys.stdin.buffer:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            write({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}})
            continue
        if isinstance(message, dict) and message.get("method") == "notifications/cancelled":
            params = message.get("params")
            wanted = params.get("requestId") if isinstance(params, dict) else None
            cancelled = running.get(wanted) if isinstance(wanted, (str, int)) else None
            if cancelled is not None:
                cancelled.set()
        elif isinstance(message, dict) and message.get("method") == "tools/call" and isinstance(message.get("id"), (str, int)) \
                and isinstance(message.get("params"), dict):
            running[message["id"]] = cancelled = threading.Event()
            threading.Thread(target=work, args=(message, cancelled), daemon=True).start()
        else:
            reply = reply_to(connection, message)
            if reply is not None:
                write(reply)


def is_foreign(origin):
    """Tell whether a page from elsewhere asks."""
    try:
        return urlsplit(origin).hostname not in LOOPBACK
    except ValueError:
        return True


class Handler(BaseHTTPRequestHandler):
    """Streamable HTTP at /mcp without sessions: one JSON document for each POST, a stream where progress is asked for."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        origin = self.headers.get("Origin")
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 4 << 20))
        if self.path != "/mcp":
            return self.send(404, {"error": "not here"})
        if origin is not None and is_foreign(origin):
            return self.send(403, {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Foreign origin"}})
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            return self.send(400, {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}})
        connection = Connection()
        version = self.headers.get("MCP-Protocol-Version")
        modern = version is not None and version not in HANDSHAKE
        if not modern and isinstance(message, dict) and message.get("method") != "initialize":
            connection.era = "handshake"
        if modern and isinstance(message, dict):
            fault = self.mismatch(message, version)
            if fault:
                error = {"code": -32020, "message": fault}
                return self.send(400, {"jsonrpc": "2.0", "id": message.get("id"), "error": error})
        token = progress_token(message)
        if token is not None and "text/event-stream" in self.headers.get("Accept", ""):
            return self.stream(connection, message, token)
        reply = reply_to(connection, message)
        if reply is None:
            return self.send(202, None)
        status = {-32601: 404, -32602: 400, -32022: 400}.get(reply["error"]["code"], 200) if "error" in reply else 200
        return self.send(status if modern else 200, reply)

    def stream(self, connection, message, token):
        """Answer with events: progress as it comes, then the reply. A client that hangs up has cancelled."""
        def event(value):
            self.wfile.write(b"event: message\ndata: " + json.dumps(value).encode() + b"\n\n")

        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            event(reply_to(connection, message, lambda done, total: event(progress_of(token, done, total))))
        except OSError:
            sys.stderr.write("INFO the client hung up\n")

    def mismatch(self, message, version):
        """Headers and body must say the same in the modern era."""
        params = message.get("params") if isinstance(message.get("params"), dict) else {}
        meta = params.get("_meta") if isinstance(params.get("_meta"), dict) else {}
        if meta.get(META + "protocolVersion", version) != version:
            return "MCP-Protocol-Version and _meta disagree"
        if self.headers.get("Mcp-Method") != message.get("method"):
            return "Mcp-Method and method disagree"
        if message.get("method") == "tools/call" and self.headers.get("Mcp-Name") != params.get("name"):
            return "Mcp-Name and name disagree"
        return ""

    def do_GET(self):
        self.send(405, {"error": "POST only"})

    do_DELETE = do_GET

    def send(self, status, value):
        data = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *arguments):
        sys.stderr.write(f"INFO {self.address_string()} {format % arguments}\n")


def main():
    os.makedirs(NOTES_FOLDER, exist_ok=True)
    for name, text in NOTES.items():
        with open(os.path.join(NOTES_FOLDER, name), "w", encoding="utf-8") as note:
            note.write(text)
    if "--http" in sys.argv:
        port = int(sys.argv[sys.argv.index("--http") + 1])
        sys.stderr.write(f"INFO demo server listens on port {port}\n")
        ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()
    else:
        sys.stderr.write("INFO demo server speaks on stdio\n")
        serve_stdio()


if __name__ == "__main__":
    main()
