"""An SSH server of paramiko that listens for its clients and connects for them: PORT HOST_KEY."""

import socket
import sys
import threading

import paramiko

host_key = paramiko.Ed25519Key(filename=sys.argv[2])


def copy(source, target, done):
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            target.sendall(data)
    except (OSError, EOFError):
        pass
    done()


def join(channel, sock):
    def output_ended():
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def both():
        copy(sock, channel, lambda: None)
        # Its own demo closes the channel right behind the last byte.
        channel.close()

    upward = threading.Thread(target=copy, args=(channel, sock, output_ended), daemon=True)
    upward.start()
    both()
    upward.join()
    sock.close()


class Server(paramiko.ServerInterface):
    def __init__(self):
        self.targets = {}
        self.transport = None
        self.listeners = {}

    def check_auth_publickey(self, username, key):
        return paramiko.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username):
        return "publickey"

    def check_global_request(self, kind, msg):
        return False

    def check_channel_direct_tcpip_request(self, chanid, origin, destination):
        try:
            self.targets[chanid] = socket.create_connection(destination)
        except OSError:
            return paramiko.OPEN_FAILED_CONNECT_FAILED
        return paramiko.OPEN_SUCCEEDED

    def check_port_forward_request(self, address, port):
        try:
            listener = socket.create_server(("127.0.0.1", port))
        except OSError:
            return False
        self.listeners[port] = listener
        threading.Thread(target=self.accept, args=(listener, address, port), daemon=True).start()
        return listener.getsockname()[1]

    def cancel_port_forward_request(self, address, port):
        listener = self.listeners.pop(port, None)
        if listener is not None:
            listener.close()

    def accept(self, listener, address, port):
        while True:
            try:
                sock, origin = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock, origin, address, port), daemon=True).start()

    def serve(self, sock, origin, address, port):
        try:
            channel = self.transport.open_channel("forwarded-tcpip", dest_addr=(address, port), src_addr=origin)
        except Exception:
            sock.close()
            return
        join(channel, sock)


def serve(sock):
    transport = paramiko.Transport(sock)
    transport.add_server_key(host_key)
    server = Server()
    server.transport = transport
    transport.start_server(server=server)
    while transport.is_active():
        channel = transport.accept(1)
        if channel is not None:
            target = server.targets.pop(channel.chanid)
            threading.Thread(target=join, args=(channel, target), daemon=True).start()


def main():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=100)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


main()
