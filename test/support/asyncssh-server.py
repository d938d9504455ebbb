"""An SSH server of AsyncSSH that listens for its clients and connects for them: PORT HOST_KEY AUTHORIZED_KEYS [REKEY_BYTES]."""

import asyncio
import signal
import sys

import asyncssh

connections = set()


class Server(asyncssh.SSHServer):
    def connection_made(self, conn):
        self.conn = conn
        connections.add(conn)

    def connection_lost(self, exc):
        connections.discard(self.conn)

    def server_requested(self, listen_host, listen_port):
        return True

    def connection_requested(self, dest_host, dest_port, orig_host, orig_port):
        return True


async def main():
    port, host_key, authorized_keys, rekey_bytes = (sys.argv[1:] + [1 << 30])[:4]
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, lambda: [conn.abort() for conn in list(connections)])
    await asyncssh.listen(
        "127.0.0.1",
        int(port),
        # Else a port at which another program listened within the last minute is in use (TIME_WAIT), unlike for all other servers.
        reuse_address=True,
        server_factory=Server,
        server_host_keys=[host_key],
        authorized_client_keys=authorized_keys,
        rekey_bytes=int(rekey_bytes),
    )
    await loop.create_future()


asyncio.run(main())
