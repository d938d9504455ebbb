"""Runs a program in a terminal (pty(7)) of a size that changes: `terminal.py ROWS COLUMNS PROGRAM [ARGUMENT...]`.

What the program writes goes to standard output. Each line of standard input is JSON: {"keys": TEXT} or {"size": [ROWS, COLUMNS]}.
The exit code is the program's, or 128 and the signal.
"""

import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios


def resize(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


child, terminal = pty.fork()
if child == 0:
    # The size is there before the program looks.
    resize(0, int(sys.argv[1]), int(sys.argv[2]))
    os.execvp(sys.argv[3], sys.argv[3:])

pending = b""
sources = [terminal, 0]
while terminal in sources:
    ready, _, _ = select.select(sources, [], [])
    if terminal in ready:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            data = b""
        if data:
            os.write(1, data)
        else:
            sources.remove(terminal)
    if 0 in ready:
        data = os.read(0, 65536)
        if not data:
            sources.remove(0)
        pending += data
        *lines, pending = pending.split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "keys" in order:
                os.write(terminal, order["keys"].encode())
            if "size" in order:
                resize(terminal, *order["size"])
_, status = os.waitpid(child, 0)
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
