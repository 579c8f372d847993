"""A small MCP server (handshake era) that reaches out the way it is asked to; runs in any image with python3."""
import json
import os
import socket
import ssl
import sys
import urllib.request


def reach(how, target, port=0):
    if how == "name":
        return socket.gethostbyname(target)
    if how == "url":
        return urllib.request.urlopen(target, timeout=3).read().decode()
    if how == "post":
        return urllib.request.urlopen(target, data=os.environ.get("TOKEN", "").encode(), timeout=3).read().decode()
    if how == "tls":
        with socket.create_connection((target, 443), 3) as sock:
            return ssl.create_default_context().wrap_socket(sock, server_hostname=target).version()
    if how == "tcp":
        return str(socket.create_connection((target, port), 3))
    if how == "udp":
        return str(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (target, port)))
    if how == "flood":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            return str(sum(sock.sendto(b"x", (target, 1024 + number % 1000)) for number in range(port)))
    if how == "file":
        return open(target).read()
    if how == "environment":
        return os.environ.get(target, "")
    raise ValueError(how)


for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    answer = {"jsonrpc": "2.0", "id": request["id"]}
    if request["method"] == "initialize":
        answer["result"] = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "reaching", "version": "1"}}
    elif request["method"] == "tools/call":
        try:
            said, failed = reach(**request["params"]["arguments"]), False
        except Exception as error:
            said, failed = f"{type(error).__name__}: {error}", True
        answer["result"] = {"content": [{"type": "text", "text": said}], "isError": failed}
    else:
        answer["error"] = {"code": -32601, "message": "unknown method"}
    print(json.dumps(answer), flush=True)
