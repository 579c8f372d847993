"""The sinkhole: owns a network namespace without a way out and answers whatever is asked in it, each ask a JSON line.

Runs alone in a container (standard library only). Every address is local here, so any name resolves and any HTTP
request is answered; nothing leaves. Other connections are refused by the kernel, and told all the same.
"""
import contextlib
import hashlib
import json
import os
import socket
import socketserver
import struct
import sys
import threading
import time

HTTP_PORTS = (80, 3000, 5000, 8000, 8080, 8888)
REDIRECTS = ("301", "302", "303", "307", "308")
MOST_BODY = 4096
MOST_OF_ONE_KIND = 4_000  # a flood of one kind must not hide the others
INNER = {"loop": b"\x7f\0\0\1", "meta": b"\xa9\xfe\xa9\xfe", "priv": b"\x0a\x14\x1e\x28"}  # what a name of this label means
METADATA = ("metadata.google.internal", "metadata.goog", "instance-data.ec2.internal")
_told = {}
_telling = threading.Lock()
_asked: dict[str, int] = {}


def tell(kind, **fields):
    """Write one event; after too many of a kind only silence."""
    with _telling:
        _told[kind] = _told.get(kind, 0) + 1
        if _told[kind] <= MOST_OF_ONE_KIND or kind == "mark":
            sys.stdout.write(json.dumps({"kind": kind, **fields}) + "\n")
            sys.stdout.flush()


def left_alone():
    """Return the port of an HTTP server that stands in here, 0 without one."""
    return int(sys.argv[2]) if len(sys.argv) > 2 else 0


def everything_is_local():
    """Route every address to this machine (AnyIP): the same as ``ip route add local 0.0.0.0/0 dev lo``."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.bind((0, 0))
        lo = socket.if_nametoindex("lo")
        for family in (socket.AF_INET, socket.AF_INET6):
            # struct rtmsg: family, dst_len, src_len, tos, table LOCAL, protocol STATIC, scope HOST, type LOCAL, flags
            message = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 255, 4, 254, 2, 0) + struct.pack("=HHI", 8, 4, lo)
            header = struct.pack("=IHHII", 16 + len(message), 24, 0x1 | 0x4 | 0x400 | 0x100, 1, 0)
            netlink.send(header + message)
            answer = netlink.recv(4096)
            error = struct.unpack_from("=i", answer, 16)[0]
            if error and family == socket.AF_INET:
                raise OSError(-error, os.strerror(-error))


def address_of(name):
    """Return an address that looks public: 11.x.y.z is nobody's here, and no filter takes it for a private one."""
    digest = hashlib.sha256(name.encode()).digest()
    return bytes((11, digest[0], digest[1], digest[2] | 1))


def dns_answer(query):
    """Answer an A query; all else gets an empty answer.

    A name whose first label starts with rebind- is local from the second time on; loop-, meta- and priv- mean an inner address.
    """
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("ascii", "replace"))
        at += 1 + query[at]
        if len(labels) > 64:
            raise ValueError("too many labels")
    kind, = struct.unpack_from("!H", query, at + 1)
    question = query[12:at + 5]
    name = ".".join(labels).lower()
    tell("dns", name=name, type=kind)
    answers = b""
    if kind == 1:
        _asked[name] = _asked.get(name, 0) + 1
        label = next((part.partition("-")[0] for part in name.split(".") if part.partition("-")[0] in INNER), "")
        found = INNER[label] if label else INNER["meta"] if name in METADATA else address_of(name)
        if name.startswith("rebind-") and _asked[name] > 1:
            found = INNER["loop"]
        answers = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + found
    return query[:2] + b"\x81\x80" + struct.pack("!HHHH", 1, 1 if answers else 0, 0, 0) + question + answers


def serve_dns():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # the answer must come from the address that was asked
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_PKTINFO if hasattr(socket, "IP_PKTINFO") else 8, 1)
        sock.bind(("0.0.0.0", 53))
        while True:
            query, extra, _, peer = sock.recvmsg(4096, 256)
            try:
                answer = dns_answer(query)
            except (IndexError, ValueError, struct.error):
                continue
            info = next((data for level, kind, data in extra if level == socket.IPPROTO_IP and kind == 8), None)
            control = [] if info is None else [(socket.IPPROTO_IP, 8, struct.pack("=I4s4s", 0, info[4:8], b"\0" * 4))]
            sock.sendmsg([answer], control, 0, peer)


class Web(socketserver.BaseRequestHandler):
    """Reads one HTTP request, tells it, and answers with a text that only the asker can know."""

    def handle(self):
        self.request.settimeout(5)
        data = b""
        try:
            while b"\r\n\r\n" not in data and len(data) < 65536:
                more = self.request.recv(65536)
                if not more:
                    break
                data += more
            head, _, body = data.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            method, _, rest = lines[0].partition(" ")
            path = rest.rsplit(" ", 1)[0]
            headers = {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:60])}
            told = headers.get("content-length", "")
            length = min(int(told), MOST_BODY) if told.isdigit() and len(told) < 10 else 0
            while len(body) < length:
                more = self.request.recv(65536)
                if not more:
                    break
                body += more
        except OSError:
            return
        address, port = self.request.getsockname()[:2]
        address = address.removeprefix("::ffff:")
        tell("http", address=address, port=port, method=method[:16], path=path[:2000], host=headers.get("host", "")[:300],
             headers={n[:100]: v[:500] for n, v in headers.items()}, body=body[:MOST_BODY].decode("latin-1"))
        marker = hashlib.sha256(f"{sys.argv[1]}{path}".encode()).hexdigest()[:24]
        text = f"sink-{marker}\n".encode()
        way, _, place = path.partition("?to=")
        code = way.rpartition("/")[2] if way.startswith("/redirect/") else "302"
        redirect = place and way.startswith("/redirect")
        status = f"{code if code in REDIRECTS else 302} Moved\r\nLocation: {place}" if redirect else "200 OK"
        reply = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        with contextlib.suppress(OSError):
            self.request.sendall(reply.encode("latin-1") + text)


class Tls(socketserver.BaseRequestHandler):
    """Tells the name a TLS client asks for, and hangs up."""

    def handle(self):
        self.request.settimeout(5)
        try:
            hello = self.request.recv(16384)
        except OSError:
            return
        tell("tls", address=self.request.getsockname()[0].removeprefix("::ffff:"), port=443, name=server_name(hello))


def server_name(hello):
    """Return the SNI of a ClientHello, empty when there is none (RFC 8446 §4.1.2, RFC 6066 §3)."""
    try:
        at = 43
        at += 1 + hello[at]
        at += 2 + struct.unpack_from("!H", hello, at)[0]
        at += 1 + hello[at]
        end = at + 2 + struct.unpack_from("!H", hello, at)[0]
        at += 2
        while at < end:
            kind, size = struct.unpack_from("!HH", hello, at)
            if kind == 0:
                return hello[at + 9:at + 9 + struct.unpack_from("!H", hello, at + 7)[0]].decode("ascii", "replace")
            at += 4 + size
    except (IndexError, struct.error):
        pass
    return ""


def sniff():
    """Tell every other TCP connection and UDP packet that is tried."""
    own = left_alone()
    answered = {443, *HTTP_PORTS} - {own}
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as sock:
        sock.bind(("lo", 0))
        while True:
            packet, where = sock.recvfrom(256)
            if where[2] != socket.PACKET_OUTGOING or len(packet) < 28:
                continue
            if packet[0] >> 4 == 4:
                at, protocol, target = (packet[0] & 15) * 4, packet[9], socket.inet_ntop(socket.AF_INET, packet[16:20])
                if target.startswith("127.") and target != "127.0.0.1":
                    continue
            elif packet[0] >> 4 == 6:
                at, protocol, target = 40, packet[6], socket.inet_ntop(socket.AF_INET6, packet[24:40])
            else:
                continue
            if len(packet) < at + (14 if protocol == 6 else 8):
                continue
            source, port = struct.unpack_from("!HH", packet, at)
            if port == own and target in ("127.0.0.1", "::1"):
                continue  # we ask the server itself
            if protocol == 6 and packet[at + 13] & 0x12 == 0x02 and port not in answered:
                tell("tcp", address=target, port=port)
            elif protocol == 17 and port != 53 and source != 53:
                tell("udp", address=target, port=port)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    address_family = socket.AF_INET6

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def main():
    everything_is_local()
    threads = [threading.Thread(target=serve_dns, daemon=True), threading.Thread(target=sniff, daemon=True)]
    for port in set(HTTP_PORTS) - {left_alone()}:
        threads.append(threading.Thread(target=Server(("::", port), Web).serve_forever, daemon=True))
    if left_alone() != 443:
        threads.append(threading.Thread(target=Server(("::", 443), Tls).serve_forever, daemon=True))
    for thread in threads:
        thread.start()
    tell("ready")
    for line in sys.stdin:  # whoever holds our input decides how long
        time.sleep(0.05)  # what was tried until now is told first
        tell("mark", mark=line.strip()[:64])


if __name__ == "__main__":
    main()
