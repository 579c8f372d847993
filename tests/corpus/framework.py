"""A small MCP server for the corpus: both eras, stdio and HTTP, right by default, and every part of it can be made wrong.

Standard library only; runs inside the container:

    python3 -u main.py NAME [--http PORT]

    @corpus("f07-lax")
    def lax() -> Server:
        server = Server(validate=False)

        @server.tool("add", "Add two numbers.", {"a": {"type": "number"}, "b": {"type": "number"}}, read_only=True)
        def add(arguments, call):
            return str(arguments["a"] + arguments["b"])

        return server

A tool returns a text, a list of content blocks, or a whole result (a dictionary); ``raise ToolFailed("…")`` is an isError
result, ``raise Refused(code, "…")`` a protocol error. ``call`` tells ``call.cancelled`` (an Event), ``call.meta``,
``call.progress(n, total)`` and ``call.server``. ``server.on("tools/list")`` replaces a method's answer,
``server.outgoing`` may change, drop or multiply what is sent: ``lambda message: [message]``; bytes go out as they are.
"""

import argparse
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

MODERN = "2026-07-28"
HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
META = "io.modelcontextprotocol/"
CORPUS = {}
TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict, "null": type(None)}


def corpus(name):
    """Register a function that makes a server; a name may be taken once."""
    def register(make):
        if name in CORPUS:
            raise ValueError(f"{name} is there twice")
        CORPUS[name] = make
        return make

    return register


class Refused(Exception):
    """A request that is answered with a protocol error."""

    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


class ToolFailed(Exception):
    """A tool that failed as tools do: a result with isError."""


def text(words, **more):
    """Return a result of one text."""
    return {"content": [{"type": "text", "text": str(words)}], **more}


def complaint(schema, value, path=""):
    """Return what is wrong with a value, or nothing; the keywords simple tools use."""
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind] if kind else []
    boolean = isinstance(value, bool)
    if kinds and not any(isinstance(value, TYPES[k]) and (boolean == (k == "boolean")) for k in kinds):
        whole = isinstance(value, float) and value.is_integer() and "integer" in kinds
        if not whole:
            return f"{path or 'arguments'} is not of type {' or '.join(kinds)}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{path} is none of the values allowed"
    if "const" in schema and value != schema["const"]:
        return f"{path} is not the constant"
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            return f"{path} has a wrong length"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            return f"{path} does not match"
    if isinstance(value, (int, float)) and not boolean:
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        if not low <= value <= high or value <= schema.get("exclusiveMinimum", value - 1) \
                or value >= schema.get("exclusiveMaximum", value + 1):
            return f"{path} is out of range"
        if "multipleOf" in schema and value % schema["multipleOf"]:
            return f"{path} is no multiple"
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            return f"{path} has a wrong number of items"
        if schema.get("uniqueItems") and len({json.dumps(item, sort_keys=True) for item in value}) < len(value):
            return f"{path} has an item twice"
        for at, item in enumerate(value):
            if isinstance(schema.get("items"), dict) and (fault := complaint(schema["items"], item, f"{path}/{at}")):
                return fault
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                return f"{path}/{name} is missing"
        properties = schema.get("properties", {})
        for name, inner in value.items():
            if name not in properties and schema.get("additionalProperties") is False:
                return f"{path}/{str(name)[:80]} is not known"
            if isinstance(properties.get(name), dict) and (fault := complaint(properties[name], inner, f"{path}/{name}")):
                return fault
    return ""


class Call:
    """One call of a tool under way."""

    def __init__(self, server, message, send):
        self.server, self._send = server, send
        self.cancelled = threading.Event()
        self.number = message.get("id")
        params = message.get("params") if isinstance(message.get("params"), dict) else {}
        self.meta = params.get("_meta") if isinstance(params.get("_meta"), dict) else {}

    def progress(self, progress, total=None, **more):
        """Tell how far it is, if that was asked for."""
        if "progressToken" in self.meta:
            params = {"progressToken": self.meta["progressToken"], "progress": progress, **more}
            self.notify("notifications/progress", params | ({} if total is None else {"total": total}))

    def notify(self, method, params=None):
        """Send a notification."""
        self._send({"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})})


class Server:
    """What is served, and how. ``era`` is both, handshake or modern; ``validate`` checks arguments against the schema."""

    def __init__(self, name="corpus", *, version="1.0", era="both", instructions="", validate=True, capabilities=None, page=0):
        self.info = {"name": name, "version": version}
        self.era, self.instructions, self.validate, self.page = era, instructions, validate, page
        self.capabilities = capabilities  # None: what is there
        self.tools, self.resources, self.templates, self.prompts = [], [], [], []
        self.functions, self.readers, self.prompters, self.handlers = {}, {}, {}, {}
        self.outgoing = lambda message: [message]
        self.at_start = lambda: None
        self.calls = 0
        self.lists = 0
        self.ignore_cancel = False
        self.send = None  # set by the transport; sends a message at any time

    # What is served

    def tool(self, name, description, properties=None, required=None, *, output=None, read_only=None, extra=True, schema=None, **more):
        """Add a tool; ``required`` None means all properties, ``extra`` False forbids others, ``more`` goes into the definition."""
        properties = properties or {}
        made = schema or {"type": "object", "properties": properties,
                          "required": list(properties) if required is None else list(required)}
        if not extra:
            made["additionalProperties"] = False
        definition = {"name": name, "description": description, "inputSchema": made}
        if output is not None:
            definition["outputSchema"] = output
        if read_only is not None:
            definition["annotations"] = {"readOnlyHint": read_only}
        definition.update(more)

        def register(function):
            self.tools.append(definition)
            self.functions[name] = function
            return function

        return register

    def resource(self, uri, content, name=None, mime="text/plain", **more):
        """Add a resource of this text."""
        self.resources.append({"uri": uri, "name": name or uri.rsplit("/", 1)[-1], "mimeType": mime, **more})
        self.readers[uri] = lambda: [{"uri": uri, "mimeType": mime, "text": content}]

    def prompt(self, name, description, arguments=(), **more):
        """Add a prompt; the function returns its text."""
        self.prompts.append({"name": name, "description": description, "arguments": list(arguments), **more})

        def register(function):
            self.prompters[name] = function
            return function

        return register

    def on(self, method):
        """Replace the answer to a method: ``function(params, call) -> result``."""
        def register(function):
            self.handlers[method] = function
            return function

        return register

    # Answers

    def offered(self):
        if self.capabilities is not None:
            return self.capabilities
        return {what: {} for what, there in (("tools", self.tools), ("resources", self.resources or self.templates),
                                             ("prompts", self.prompts)) if there}

    def answer(self, method, params, call, state):
        """Return the result of a request. Raises Refused. ``state`` keeps the era of a connection."""
        if not isinstance(params, dict):
            raise Refused(-32602, "params must be an object")
        meta = params.get("_meta", {})
        if not isinstance(meta, dict):
            raise Refused(-32602, "_meta must be an object")
        if method == "initialize" and self.era != "modern" and state.get("era") != "modern":
            state["era"] = "handshake"
            wanted = params.get("protocolVersion")
            if not isinstance(wanted, str):
                raise Refused(-32602, "protocolVersion is missing")
            chosen = wanted if wanted in HANDSHAKE else HANDSHAKE[-1]
            said = {"instructions": self.instructions} if self.instructions else {}
            result = {"protocolVersion": chosen, "capabilities": self.offered(), "serverInfo": self.info, **said}
            return self.handlers["initialize"](result, call) if "initialize" in self.handlers else result
        if state.get("era") == "handshake" or self.era == "handshake":
            return self.served(method, params, call, False)
        version = meta.get(META + "protocolVersion")
        if version is None or META + "clientInfo" not in meta or META + "clientCapabilities" not in meta:
            raise Refused(-32602, "_meta lacks what every request carries")
        if version != MODERN:
            raise Refused(-32022, "Unsupported protocol version", {"supported": [MODERN], "requested": version})
        state["era"] = "modern"
        return self.served(method, params, call, True)

    def served(self, method, params, call, modern):
        extra = {"resultType": "complete"} if modern else {}
        cache = {"ttlMs": 0, "cacheScope": "private"} if modern else {}
        if method in self.handlers and method != "initialize":
            result = self.handlers[method](params, call)
            return result if not isinstance(result, dict) else {**extra, **(cache if method.endswith("/list") else {}), **result}
        if method == "server/discover" and modern:
            said = {"instructions": self.instructions} if self.instructions else {}
            return {"supportedVersions": [MODERN], "capabilities": self.offered(), **said,
                    "_meta": {META + "serverInfo": self.info}, **extra, **cache}
        if method == "ping" and not modern:
            return {}
        offered = self.offered()
        if method == "tools/list" and "tools" in offered:
            self.lists += 1
            return {**self.paged("tools", self.tools, params), **extra, **cache}
        if method == "tools/call" and "tools" in offered:
            return {**extra, **self.called(params, call)}
        if method == "resources/list" and "resources" in offered:
            return {**self.paged("resources", self.resources, params), **extra, **cache}
        if method == "resources/templates/list" and "resources" in offered:
            return {**self.paged("resourceTemplates", self.templates, params), **extra, **cache}
        if method == "resources/read" and "resources" in offered:
            if params.get("uri") not in self.readers:
                raise Refused(-32602 if modern else -32002, "Resource not found", {"uri": str(params.get("uri"))[:200]})
            return {"contents": self.readers[params["uri"]](), **extra, **cache}
        if method == "prompts/list" and "prompts" in offered:
            return {**self.paged("prompts", self.prompts, params), **extra, **cache}
        if method == "prompts/get" and "prompts" in offered:
            return {**self.prompted(params), **extra}
        raise Refused(-32601, f"Method not found: {method}")

    def paged(self, what, items, params):
        cursor = params.get("cursor")
        if cursor is None:
            start = 0
        elif isinstance(cursor, str) and cursor.isdigit() and self.page and 0 < int(cursor) < len(items):
            start = int(cursor)
        else:
            raise Refused(-32602, "Unknown cursor")
        if not self.page:
            return {what: list(items)}
        end = start + self.page
        return {what: list(items[start:end])} | ({"nextCursor": str(end)} if end < len(items) else {})

    def called(self, params, call):
        name, arguments = params.get("name"), params.get("arguments", {})
        definition = next((tool for tool in self.tools if tool["name"] == name), None)
        if definition is None:
            raise Refused(-32602, f"Unknown tool: {str(name)[:100]}")
        if self.validate:
            fault = complaint(definition["inputSchema"], arguments)
            if fault:
                return text(f"Invalid arguments: {fault}", isError=True)
        self.calls += 1
        try:
            result = self.functions[name](arguments, call)
        except ToolFailed as failure:
            return text(failure, isError=True)
        if isinstance(result, dict):
            return result
        return {"content": result} if isinstance(result, list) else text(result)

    def prompted(self, params):
        definition = next((prompt for prompt in self.prompts if prompt["name"] == params.get("name")), None)
        if definition is None:
            raise Refused(-32602, "Unknown prompt")
        given = params.get("arguments") or {}
        missing = [one["name"] for one in definition["arguments"] if one.get("required") and one["name"] not in given]
        if missing:
            raise Refused(-32602, f"Missing arguments: {', '.join(missing)}")
        words = self.prompters[definition["name"]](given)
        return {"messages": [{"role": "user", "content": {"type": "text", "text": words}}]}

    def reply_to(self, message, call, state):
        """Return the reply to one decoded message, None when there is none to give."""
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Not a JSON-RPC message"}}
        if "id" not in message:
            return None
        reply = {"jsonrpc": "2.0", "id": message["id"]}
        if not isinstance(message.get("method"), str):
            if "result" in message or "error" in message:
                return None
            return reply | {"error": {"code": -32600, "message": "A request has a method"}}
        try:
            result = self.answer(message["method"], message.get("params", {}), call, state)
        except Refused as refused:
            return reply | {"error": refused.error}
        except Exception as fault:  # what a tool's author forgot; the server goes on
            if message["method"] == "tools/call":
                return reply | {"result": text(f"{type(fault).__name__}: {fault}", isError=True)}
            return reply | {"error": {"code": -32603, "message": f"{type(fault).__name__}"}}
        return None if result is None else reply | {"result": result}


# Standard input and output


def serve_stdio(server):
    lock, state, running = threading.Lock(), {}, {}

    def write(data):
        with lock:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def send(message):
        for part in server.outgoing(message):
            write(part if isinstance(part, bytes) else json.dumps(part).encode() + b"\n")

    server.send = send
    server.at_start()

    def work(message, call):
        reply = server.reply_to(message, call, state)
        running.pop(message.get("id") if isinstance(message, dict) else None, None)
        if reply is not None and (server.ignore_cancel or not call.cancelled.is_set()):
            send(reply)

    for line in sys.stdin.buffer:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            send({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}})
            continue
        if isinstance(message, dict) and message.get("method") == "notifications/cancelled":
            params = message.get("params") if isinstance(message.get("params"), dict) else {}
            wanted = params.get("requestId")
            if isinstance(wanted, (str, int)) and wanted in running and not server.ignore_cancel:
                running[wanted].cancelled.set()
            continue
        request = isinstance(message, dict) and isinstance(message.get("id"), (str, int))
        call = Call(server, message if isinstance(message, dict) else {}, send)
        if request and message.get("method") in ("tools/call", "resources/read", "prompts/get"):
            running[message["id"]] = call
            threading.Thread(target=work, args=(message, call), daemon=True).start()
        else:
            work(message, call)


# Streamable HTTP, answered with one document


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_made = None

    def do_POST(self):
        server = self.server_made
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 64 << 20))
        origin = self.headers.get("Origin")
        if self.path != "/mcp":
            return self.say(404, None)
        if origin is not None and urlsplit(origin).hostname not in ("127.0.0.1", "::1", "localhost"):
            return self.say(403, {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Foreign origin"}})
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            return self.say(400, {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}})
        version = self.headers.get("MCP-Protocol-Version")
        modern = version is not None and version not in HANDSHAKE and server.era != "handshake"
        params = message.get("params") if isinstance(message, dict) and isinstance(message.get("params"), dict) else {}
        if modern and isinstance(message, dict):
            meta = params.get("_meta") if isinstance(params.get("_meta"), dict) else {}
            named = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}.get(message.get("method"))
            wrong = meta.get(META + "protocolVersion", version) != version or self.headers.get("Mcp-Method") != message.get("method") \
                or (named and self.headers.get("Mcp-Name") != params.get(named))
            if wrong:
                error = {"code": -32020, "message": "Headers and body disagree"}
                return self.say(400, {"jsonrpc": "2.0", "id": message.get("id"), "error": error})
        state = {} if modern or (isinstance(message, dict) and message.get("method") == "initialize") else {"era": "handshake"}
        sent = []
        call = Call(server, message if isinstance(message, dict) else {}, sent.append)
        reply = server.reply_to(message, call, state)
        if reply is None:
            return self.say(202, None)
        outgoing = [part for part in server.outgoing(reply) if not isinstance(part, bytes)]
        reply = outgoing[0] if outgoing else reply
        codes = {-32601: 404, -32602: 400, -32600: 400, -32700: 400, -32020: 400, -32022: 400}
        return self.say(codes.get(reply["error"]["code"], 200) if modern and "error" in reply else 200, reply)

    def do_GET(self):
        self.say(405, None, {"Allow": "POST"})

    do_DELETE = do_GET

    def say(self, status, value, extra=()):
        data = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        if data:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, words in dict(extra).items():
            self.send_header(name, words)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *arguments):
        sys.stderr.write(f"INFO {format % arguments}\n")


def serve_http(server, port):
    Handler.server_made = server
    server.send = lambda message: None
    server.at_start()
    ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=sorted(CORPUS))
    parser.add_argument("--http", type=int, metavar="PORT")
    options = parser.parse_args()
    server = CORPUS[options.name]()
    sys.stderr.write(f"INFO {options.name} at {time.time():.0f}\n")
    sys.stderr.flush()
    if options.http:
        serve_http(server, options.http)
    serve_stdio(server)
