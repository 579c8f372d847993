"""The relay: carries TCP connections between our stream and a port of the network namespace this container stands in.

Runs alone in a container (standard library only). Each frame is a number of a connection, a kind and a length, then so
many bytes: 0 opens, 1 carries, 2 closes. Whoever holds our input decides how long.
"""
import contextlib
import socket
import struct
import sys
import threading

HEAD = struct.Struct("!IBI")
OPEN, DATA, CLOSE = range(3)
_telling = threading.Lock()
_known = {}


def tell(number, kind, data=b""):
    with _telling:
        sys.stdout.buffer.write(HEAD.pack(number, kind, len(data)) + data)
        sys.stdout.buffer.flush()


def serve(number, port):
    """Connect, and carry what the server says until it is done."""
    ours, theirs = _known[number]
    with contextlib.suppress(OSError):
        for address in ("127.0.0.1", "::1"):
            try:
                server = socket.create_connection((address, port), 5)
            except ConnectionRefusedError:
                continue
            server.settimeout(None)
            prompt(server)
            threading.Thread(target=pump, args=(ours, server), daemon=True).start()
            while data := server.recv(32768):
                prompt(server)
                tell(number, DATA, data)
            break
    tell(number, CLOSE)
    for sock in (ours, theirs):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def prompt(sock):
    """Neither wait with small pieces nor with their acknowledgement, which a server that writes twice waits for: 40 ms a call."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # holds for a while only


def pump(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(32768):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def main():
    port = int(sys.argv[1])
    tell(0, OPEN)
    while len(head := sys.stdin.buffer.read(HEAD.size)) == HEAD.size:
        number, kind, length = HEAD.unpack(head)
        data = sys.stdin.buffer.read(length)
        if kind == OPEN:
            _known[number] = socket.socketpair()  # what comes before the server has answered waits in here
            threading.Thread(target=serve, args=(number, port), daemon=True).start()
        elif number in _known:
            with contextlib.suppress(OSError):
                if kind == DATA:
                    _known[number][1].sendall(data)
                else:
                    _known.pop(number)[1].shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main()
