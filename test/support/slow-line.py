"""A slow line to an SSH server: slow-line.py PORT SERVER_PORT BYTES_A_SECOND. What clients send passes at this speed, in small pieces, and next
to nothing of it is kept here: whoever sends more has it wait in a memory of its own. Answers pass at once."""

import socket
import sys
import threading
import time

port, server_port, rate = map(int, sys.argv[1:])
PIECE = 4096


def pass_on(source, sink, seconds_a_byte):
    next_at = time.monotonic()
    try:
        while data := source.recv(PIECE):
            sink.sendall(data)
            # What was late is not made up for.
            next_at = max(next_at, time.monotonic() - 0.01) + len(data) * seconds_a_byte
            time.sleep(max(0, next_at - time.monotonic()))
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        sink.close()


def small(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)
    return sock


listener = small(socket.socket())
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", port))
listener.listen()
while True:
    client, _ = listener.accept()
    server = small(socket.socket())
    server.connect(("127.0.0.1", server_port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=pass_on, args=(client, server, 1 / rate), daemon=True).start()
    threading.Thread(target=pass_on, args=(server, client, 0), daemon=True).start()
