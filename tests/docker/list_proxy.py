"""A socket proxy for tests, in a container: lets through what the expressions of its environment allow, one request a connection.

It stands for the proxy of deploy/compose.yaml where no registry is in reach, and reads the very same settings. Not for use.
"""
import contextlib
import os
import re
import socket
import threading

ALLOWED = {name[9:]: re.compile(words) for name, words in os.environ.items() if name.startswith("SP_ALLOW_")}
PLACE, MODE = os.environ["SP_PROXYSOCKETENDPOINT"], int(os.environ["SP_PROXYSOCKETENDPOINTFILEMODE"], 8)


def pump(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def serve(client):
    with contextlib.suppress(OSError), client:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := client.recv(65536)):
                return
            head += data
        method, target, _ = head.partition(b"\r\n")[0].decode().split(" ")
        path, words = target.partition("?")[0], ALLOWED.get(method)
        if words is None or "%" in path or not words.fullmatch(path):
            print(f"refused {method} {path}", flush=True)
            client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{\"message\":\"refused\"}")
            return
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect("/var/run/docker.sock")
            engine.sendall(head)
            back = threading.Thread(target=pump, args=(engine, client), daemon=True)
            back.start()
            pump(client, engine)
            back.join()


with contextlib.suppress(FileNotFoundError):
    os.unlink(PLACE)
listener = socket.socket(socket.AF_UNIX)
listener.bind(PLACE)
os.chmod(PLACE, MODE)
listener.listen(64)
print("listening", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
