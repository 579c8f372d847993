"""One MCP server that can be good in every way, and bad in one way at a time. Standard library only.

    python3 fixture.py [MODE] [--at MOMENT] [--seconds S] [--http PORT]

MODE defaults to the variable FIXTURE_MODE, then to ``good``. Each mode but the good ones has exactly one fault:

    good        both eras: server/discover (2026-07-28) and the handshake
    legacy      the handshake only; server/discover is an unknown method
    modern      2026-07-28 only; initialize is refused and the supported version named
    silent      the handshake only; unknown methods get no answer at all
    banner      prints two lines of greeting on stdout before the first message
    chatting    prints a line on stdout while a tool is called
    unmoved     ignores SIGTERM, and leaves when its input ends
    garbage     prints a line of bytes that are no text before each answer
    tty         behaves like a terminal: echoes what it is sent, ends lines with CR LF, colours its banner
    exit7       exits with code 7
    dies        writes half an answer and exits with code 9
    oom         allocates 400 MiB and touches every page
    mute        reads and never answers
    slow        answers after --seconds (3)
    drip        writes its answer one byte a second
    hugeline    answers with one line of 100 MB
    flood       sends notifications without end while it serves
    loud        writes to stderr without end while it serves
    permissive  agrees to any protocol version, and does without _meta
    lax         calls every nonsense a success: unknown methods, unknown tools, arguments of the wrong type
    crashing    dies of a line that is not JSON
    lying       announces resources and prompts and serves neither
    nameless    gives no name of its own
    hidden      serves resources and prompts and announces neither
    deaf        goes on when its input has ended; leaves on SIGTERM
    stubborn    goes on when its input has ended, and ignores SIGTERM
    rootful     writes to /var/lib/fixture when it starts, which a read-only root refuses
    forks       starts up to 600 processes before it serves, as many as it is let
    open        HTTP: answers any Origin
    rebound     HTTP: answers an Origin that equals the Host header, as a page behind a rebound name sends it
    mismatch    HTTP: never compares headers and body
    sessions    HTTP: gives a Mcp-Session-Id in the modern era
    streams     HTTP: answers as text/event-stream (no fault)

MOMENT says when the fault shows: ``start`` (before anything is read), ``handshake`` (server/discover, initialize),
``list`` (tools/list), ``call`` (tools/call) or ``any`` (each request). It is heeded by exit7, dies, oom, mute, slow,
drip, garbage and hugeline.

A path beside the purpose: every mode serves the tools echo, add, sleep, fail, big, env, write_stderr, digest (what
it was given under a variable, as SHA-256), spill (the same, in full, to standard error) and spell (in any spelling and place).
"""

import argparse
import base64
import hashlib
import html
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, quote_plus, urlsplit

MODERN = "2026-07-28"
HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
META = "io.modelcontextprotocol/"
MODES = {}
for _line in __doc__.split("exactly one fault:\n\n")[1].split("\n\nMOMENT")[0].splitlines():
    MODES[_line.split()[0]] = _line.split(None, 1)[1]
# when the fault shows, where nothing is said
MOMENTS = {"exit7": "start", "oom": "start", "dies": "call", "slow": "handshake", "hugeline": "call"}
ONLY_HANDSHAKE = ("legacy", "silent")
STATUS = {-32601: 404, -32602: 400, -32600: 400, -32700: 400, -32020: 400, -32022: 400}


def tool(name, description, required=(), safe=True, output=None, /, **properties):
    """Return the definition of one tool."""
    hints = {"readOnlyHint": safe, "destructiveHint": False, "idempotentHint": safe, "openWorldHint": False}
    schema = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    made = {"name": name, "description": description, "inputSchema": schema, "annotations": hints}
    return made if output is None else made | {"outputSchema": output}


TEXT = {"type": "string", "maxLength": 20000000}
NAME = {"type": "string", "maxLength": 200}
NUMBER = {"type": "number", "minimum": -1e12, "maximum": 1e12}
SUM = {"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"], "additionalProperties": False}
TOOLS = [
    tool("echo", "Return the text as it came.", ["text"], text=TEXT),
    tool("add", "Add two numbers.", ["a", "b"], True, SUM, a=NUMBER, b=NUMBER),
    tool("sleep", "Wait some milliseconds.", ["ms"], ms={"type": "integer", "minimum": 0, "maximum": 60000, "default": 10}),
    tool("fail", "Always fail, as a tool fails.", (), message={"type": "string", "maxLength": 200}),
    tool("big", "Return a text of this many bytes.", ["bytes"],
         bytes={"type": "integer", "minimum": 0, "maximum": 200000000, "default": 1000}),
    tool("env", "Return an environment variable.", ["name"], name={"type": "string", "maxLength": 200, "default": "PATH"}),
    tool("write_stderr", "Write a line to standard error.", ["text"], False, text={"type": "string", "maxLength": 100000}),
    tool("digest", "Return the SHA-256 of an environment variable, or of the file its _FILE twin names.", ["name"], name=NAME),
    tool("spill", "Write an environment variable to standard error.", ["name"], False, name=NAME),
    tool("spell", "Tell an environment variable in a certain spelling and place.", ["name", "spelling", "place"], False,
         name=NAME, spelling=NAME, place=NAME),
]
RESOURCES = [{"uri": "fixture://hello", "name": "hello", "mimeType": "text/plain"}]
PROMPTS = [{"name": "greet", "description": "Greet somebody.", "arguments": [{"name": "who", "required": True}]}]
TYPES = {"string": str, "integer": int, "number": (int, float)}


class Refused(Exception):
    """A request that is answered with a protocol error."""

    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


# Tools


def complaint(definition, arguments):
    """Return what is wrong with the arguments, or nothing."""
    schema = definition["inputSchema"]
    if not isinstance(arguments, dict):
        return "arguments is not an object"
    for name in schema["required"]:
        if name not in arguments:
            return f"{name} is missing"
    for name, value in arguments.items():
        rules = schema["properties"].get(name)
        if rules is None:
            return f"{name[:80]} is not known"
        if isinstance(value, bool) or not isinstance(value, TYPES[rules["type"]]):
            return f"{name} is not of type {rules['type']}"
        if isinstance(value, str) and len(value) > rules["maxLength"]:
            return f"{name} is too long"
        if not isinstance(value, str) and not rules["minimum"] <= value <= rules["maximum"]:
            return f"{name} is out of range"
    return ""


def result_of(text, **more):
    return {"content": [{"type": "text", "text": text}], **more}


def run_tool(name, arguments, cancelled):
    if name == "echo":
        return result_of(arguments["text"])
    if name == "add":
        total = {"sum": arguments["a"] + arguments["b"]}
        return result_of(json.dumps(total), structuredContent=total)
    if name == "sleep":
        cancelled.wait(arguments["ms"] / 1000)
        return result_of(f"slept {arguments['ms']} ms")
    if name == "fail":
        return result_of(arguments.get("message", "It failed, as asked."), isError=True)
    if name == "big":
        return result_of("x" * arguments["bytes"])
    if name == "env":
        value = os.environ.get(arguments["name"])
        return result_of("not set", isError=True) if value is None else result_of(value)
    if name == "digest":
        place, value = given(arguments["name"])
        return result_of(json.dumps({"from": place, "sha256": hashlib.sha256(value).hexdigest()}))
    if name == "spell":
        return told(SPELLINGS[arguments["spelling"]](given(arguments["name"])[1].decode()), arguments["place"])
    text = given(arguments["name"])[1].decode() if name == "spill" else arguments["text"]
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
    return result_of("written")


SPELLINGS = {
    "raw": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, one on": lambda text: base64.b64encode(b"x" + text.encode() + b"yz").decode(),
    "base64, two on": lambda text: base64.b64encode(b"xy" + text.encode() + b"z").decode(),
    "base64 of addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "address": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, every character": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "HTML": html.escape,
    "HTML, decimal": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "HTML, hex": lambda text: "".join(f"&#x{ord(char):x};" for char in text),
}


def told(text, place):
    """Tell the text in a place; those that are cut into pieces come slowly or across the engine's 32 KiB frames."""
    if place == "result":
        return result_of(f"before {text} after")
    if place == "long result":
        return result_of("." * 32700 + text + "." * 100)
    if place == "structured":
        return result_of("see there", structuredContent={"inner": [{"deep": text}]})
    if place == "error":
        return result_of(f"It failed with {text}.", isError=True)
    if place == "refusal":
        raise Refused(-32000, f"not with {text}", {"of": text})
    for at in range(0, len(text), 5):
        sys.stderr.write(text[at : at + 5])
        sys.stderr.flush()
        time.sleep(0.002)
    sys.stderr.write("\n")
    sys.stderr.flush()
    return result_of("written")


def given(name):
    """Return where a variable's value is, and its bytes."""
    if name in os.environ:
        return "environment", os.environb[name.encode()]
    if name + "_FILE" in os.environ:
        with open(os.environ[name + "_FILE"], "rb") as file:
            return "file", file.read()
    return "nowhere", b""


# Protocol


class Server:
    """One connection: its mode, and the era it settled on."""

    def __init__(self, options):
        self.options = options
        self.mode = options.mode
        self.moment = options.at or MOMENTS.get(self.mode, "any")
        self.era = None
        self.info = {"name": "" if self.mode == "nameless" else "fixture", "version": "1.0"}
        self.capabilities = {"tools": {}, "resources": {}, "prompts": {}}
        if self.mode == "hidden":
            self.capabilities = {"tools": {}}

    def due(self, method=None):
        """Tell whether the mode's fault shows now; without a method: before anything was read."""
        moments = {"server/discover": "handshake", "initialize": "handshake", "tools/list": "list", "tools/call": "call"}
        now = "start" if method is None else moments.get(method)
        return self.moment == now or (self.moment == "any" and method is not None)

    def reply_to(self, message, cancelled=None):
        """Return the reply to one decoded message; None when there is none to give."""
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Not a JSON-RPC message"}}
        if "method" not in message or "id" not in message:
            if "id" in message and "result" not in message and "error" not in message:
                error = {"code": -32600, "message": "A request has a method"}
                return {"jsonrpc": "2.0", "id": message["id"], "error": error}
            return None
        method, reply = message["method"], {"jsonrpc": "2.0", "id": message["id"]}
        if self.due(method):
            self.misbehave()
        if self.mode == "mute" and self.due(method):
            return None
        try:
            return reply | {"result": self.answer(method, message.get("params"), cancelled or threading.Event())}
        except Refused as refused:
            silent = self.mode == "silent" and refused.error["code"] == -32601
            return None if silent else reply | {"error": refused.error}
        except (TypeError, KeyError, AttributeError, ValueError):
            if self.mode == "lax":
                return reply | {"result": {}}
            raise

    def misbehave(self):
        """Do what needs no answer: leave, eat memory, take one's time."""
        if self.mode == "exit7":
            sys.stderr.write("exiting with 7, as asked\n")
            sys.stderr.flush()
            os._exit(7)
        if self.mode == "oom":
            sys.stderr.write("allocating 400 MiB\n")
            sys.stderr.flush()
            self.eaten = bytearray(b"x") * (400 * 2**20)
        if self.mode == "slow":
            time.sleep(self.options.seconds)

    def answer(self, method, params, cancelled):
        params = {} if params is None else params
        if method == "initialize" and self.mode != "modern" and self.era != "modern":
            if not isinstance(params, dict) or not isinstance(params.get("protocolVersion"), str):
                raise Refused(-32602, "protocolVersion is missing")
            self.era = "handshake"
            version = params["protocolVersion"]
            if version not in HANDSHAKE and self.mode != "permissive":
                version = HANDSHAKE[-1]
            return {"protocolVersion": version, "capabilities": self.capabilities, "serverInfo": self.info}
        if self.era == "handshake" or self.mode in ONLY_HANDSHAKE:
            return {} if method == "ping" else self.serve(method, params, cancelled)
        meta = params.get("_meta") if isinstance(params, dict) else None
        meta = meta if isinstance(meta, dict) else {}
        version = meta.get(META + "protocolVersion")
        if self.mode not in ("permissive", "lax"):
            if method == "initialize":
                raise Refused(-32022, "Unsupported protocol version", {"supported": [MODERN]})
            if not isinstance(version, str) or not isinstance(meta.get(META + "clientCapabilities"), dict):
                raise Refused(-32602, "params._meta must carry protocolVersion and clientCapabilities")
            if version != MODERN:
                raise Refused(-32022, "Unsupported protocol version", {"supported": [MODERN], "requested": version})
        self.era = "modern"
        result = {"resultType": "complete", "_meta": {META + "serverInfo": self.info}}
        if method == "server/discover":
            result |= {"supportedVersions": [MODERN], "capabilities": self.capabilities}
        else:
            result |= self.serve(method, params, cancelled)
        if method == "server/discover" or method.endswith("/list") or method == "resources/read":
            result |= {"ttlMs": 0, "cacheScope": "private"}
        return result

    def serve(self, method, params, cancelled):
        """Answer what is the same in both eras."""
        if not isinstance(params, dict) and self.mode != "lax":
            raise Refused(-32602, "params must be an object")
        if self.mode == "lying" and str(method).split("/")[0] in ("resources", "prompts"):
            raise Refused(-32601, f"Method not found: {method}")
        lists = {"tools/list": "tools", "resources/list": "resources", "prompts/list": "prompts",
                 "resources/templates/list": "resourceTemplates"}
        if method in lists:
            if params.get("cursor") is not None:
                raise Refused(-32602, "Unknown cursor")
            return {lists[method]: {"tools": TOOLS, "resources": RESOURCES, "prompts": PROMPTS}.get(lists[method], [])}
        if method == "tools/call":
            return self.call(params, cancelled)
        if method == "resources/read":
            if params.get("uri") != RESOURCES[0]["uri"]:
                code = -32602 if self.era == "modern" else -32002
                raise Refused(code, "Resource not found", {"uri": params.get("uri")})
            return {"contents": [{"uri": params["uri"], "mimeType": "text/plain", "text": "hello"}]}
        if method == "prompts/get":
            arguments = params.get("arguments") or {}
            if params.get("name") != "greet" or not isinstance(arguments, dict) or not isinstance(arguments.get("who"), str):
                raise Refused(-32602, "Unknown prompt, or who is missing")
            text = {"type": "text", "text": f"Say hello to {arguments['who']}."}
            return {"messages": [{"role": "user", "content": text}]}
        if self.mode == "lax":
            return {}
        raise Refused(-32601, f"Method not found: {str(method)[:80]}")

    def call(self, params, cancelled):
        name, arguments = params.get("name"), params.get("arguments")
        arguments = {} if arguments is None else arguments
        definition = next((one for one in TOOLS if one["name"] == name), None)
        if self.mode == "lax" and (definition is None or complaint(definition, arguments)):
            return result_of("fine")
        if definition is None:
            raise Refused(-32602, f"Unknown tool: {str(name)[:80]}")
        wrong = complaint(definition, arguments)
        if wrong:
            return result_of(f"{name}: {wrong}", isError=True)
        try:
            return run_tool(name, arguments, cancelled)
        except (KeyError, OSError, ValueError) as fault:  # no such variable, spelling or file
            return result_of(f"{type(fault).__name__}", isError=True)


# Stdio


class Stdio:
    """Standard output as lines; several threads write."""

    def __init__(self, server):
        self.server, self.lock = server, threading.Lock()

    def write(self, data):
        with self.lock:
            self.put(data)

    def put(self, data):
        while data:
            data = data[os.write(1, data):]

    def send(self, message, method=None):
        """Write a message the way the mode writes."""
        mode, due = self.server.mode, self.server.due(method)
        line = json.dumps(message).encode() + (b"\r\n" if mode == "tty" else b"\n")
        if mode == "garbage" and due:
            line = b"\xff\xfe\x00 garbage \x80\n" + line
        if mode == "hugeline" and due:
            padded = json.dumps(message | {"padding": ""}).encode()[:-2]
            line = padded + b"x" * 100_000_000 + b'"}\n'
        with self.lock:
            if mode == "dies" and due:
                self.put(line[: len(line) // 2])
                os._exit(9)
            if mode == "drip" and due:
                for at in range(len(line)):
                    self.put(line[at : at + 1])
                    time.sleep(1)
                return
            self.put(line)


def serve_stdio(server):
    out, running = Stdio(server), {}
    if server.mode == "unmoved":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if server.mode == "banner":
        out.write(b"Welcome to the fixture server!\nlistening on stdio ...\n")
    if server.mode == "tty":
        out.write(b"\x1b[32mfixture>\x1b[0m \r\n")
    if server.mode == "flood":
        threading.Thread(target=flood, args=(out,), daemon=True).start()

    def work(message, cancelled):
        if server.mode == "chatting":
            out.write(b"calling a tool\n")
        reply = server.reply_to(message, cancelled)
        running.pop(message["id"], None)
        if reply is not None and not cancelled.is_set():
            out.send(reply, message["method"])

    for line in sys.stdin.buffer:
        if server.mode == "tty":
            out.write(line.rstrip(b"\n") + b"\r\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            if server.mode == "crashing":
                raise
            out.send({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}})
            continue
        request = isinstance(message, dict) and isinstance(message.get("id"), (str, int))
        params = message.get("params") if isinstance(message, dict) else None
        if isinstance(message, dict) and message.get("method") == "notifications/cancelled":
            wanted = params.get("requestId") if isinstance(params, dict) else None
            cancelled = running.get(wanted) if isinstance(wanted, (str, int)) else None
            if cancelled is not None:
                cancelled.set()
        elif request and message.get("method") == "tools/call":
            running[message["id"]] = cancelled = threading.Event()
            try:
                threading.Thread(target=work, args=(message, cancelled), daemon=True).start()
            except RuntimeError:  # no process left for it, in mode forks
                work(message, cancelled)
        else:
            reply = server.reply_to(message)
            if reply is not None:
                out.send(reply, message.get("method") if isinstance(message, dict) else None)
    while server.mode in ("deaf", "stubborn"):
        time.sleep(1)


def flood(out):
    line = json.dumps({"jsonrpc": "2.0", "method": "notifications/message",
                       "params": {"level": "info", "data": "again and again"}}).encode() + b"\n"
    while True:
        out.write(line * 50)


# Streamable HTTP


class Handler(BaseHTTPRequestHandler):
    """POST /mcp, answered with one document; without sessions, as both eras allow."""

    protocol_version = "HTTP/1.1"
    options = None

    def do_POST(self):
        server = Server(self.options)
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 256 << 20))
        if self.path != "/mcp":
            return self.say(404, None)
        if self.foreign(server.mode):
            return self.say(403, {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Foreign origin"}})
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            if server.mode == "crashing":
                os._exit(1)
            return self.say(400, {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}})
        version = self.headers.get("MCP-Protocol-Version")
        modern = version is not None and version not in HANDSHAKE and server.mode not in ONLY_HANDSHAKE
        first = isinstance(message, dict) and message.get("method") == "initialize"
        if not modern and not first:
            server.era = "handshake"
        if modern and isinstance(message, dict) and server.mode != "mismatch":
            fault = self.mismatch(message, version)
            if fault:
                return self.say(400, {"jsonrpc": "2.0", "id": message.get("id"), "error": {"code": -32020, "message": fault}})
        reply = server.reply_to(message)
        if reply is None and isinstance(message, dict) and "id" in message:
            threading.Event().wait()  # mute: the connection stays open and nothing comes
        if reply is None:
            return self.say(202, None)
        extra = {"Mcp-Session-Id": "fixture-session"} if server.mode == "sessions" and modern else {}
        status = STATUS.get(reply["error"]["code"], 200) if modern and "error" in reply else 200
        return self.say(status, reply, extra, stream=server.mode == "streams" and status == 200)

    def foreign(self, mode):
        """Tell whether a page from elsewhere asks. Host is no witness: a rebound name puts the page's own name there."""
        origin = self.headers.get("Origin")
        if origin is None or mode == "open":
            return False
        if mode == "rebound" and origin.split("://")[-1] == self.headers.get("Host"):
            return False
        try:
            return urlsplit(origin).hostname not in ("127.0.0.1", "::1", "localhost")
        except ValueError:
            return True

    def mismatch(self, message, version):
        """Return how headers and body disagree, or nothing."""
        params = message.get("params") if isinstance(message.get("params"), dict) else {}
        meta = params.get("_meta") if isinstance(params.get("_meta"), dict) else {}
        if meta.get(META + "protocolVersion", version) != version:
            return "MCP-Protocol-Version and _meta disagree"
        if self.headers.get("Mcp-Method") != message.get("method"):
            return "Mcp-Method and method disagree"
        named = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}.get(message.get("method"))
        if named and self.headers.get("Mcp-Name") != params.get(named):
            return f"Mcp-Name and {named} disagree"
        return ""

    def do_GET(self):
        self.say(405, None, {"Allow": "POST"})

    do_DELETE = do_GET

    def say(self, status, value, extra=(), stream=False):
        data = b"" if value is None else json.dumps(value).encode()
        if stream:
            data = b"event: message\ndata: " + data + b"\n\n"
        self.send_response(status)
        if data:
            self.send_header("Content-Type", "text/event-stream" if stream else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, text in dict(extra).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *arguments):
        sys.stderr.write(f"INFO {format % arguments}\n")


# Start


def fork_many():
    """Start children that only sleep, as many as we are let."""
    for count in range(600):
        try:
            child = os.fork()
        except OSError as error:
            sys.stderr.write(f"forks: {count}, then {error.strerror}\n")
            sys.stderr.flush()
            return
        if child == 0:
            for descriptor in (0, 1, 2):
                os.close(descriptor)
            time.sleep(120)
            os._exit(0)
    sys.stderr.write("forks: 600, nothing held them\n")
    sys.stderr.flush()


def shout():
    while True:
        sys.stderr.write("ERROR this server has a lot to say about nothing in particular\n" * 50)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", nargs="?", choices=MODES, default=os.environ.get("FIXTURE_MODE") or "good")
    parser.add_argument("--at", choices=("start", "handshake", "list", "call", "any"))
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--http", type=int, metavar="PORT")
    options = parser.parse_args()
    server = Server(options)
    sys.stderr.write(f"INFO fixture in mode {options.mode}\n")
    sys.stderr.flush()
    if server.due():
        server.misbehave()
    if options.mode == "rootful":
        with open("/var/lib/fixture/state", "w", encoding="utf-8") as state:
            state.write("started\n")
    if options.mode == "forks":
        fork_many()
    if options.mode == "loud":
        threading.Thread(target=shout, daemon=True).start()
    if options.mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.http:
        Handler.options = options
        ThreadingHTTPServer(("0.0.0.0", options.http), Handler).serve_forever()
    serve_stdio(server)


if __name__ == "__main__":
    main()
