import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { until } from './until.ts';

/** A Unix datagram socket, as the service manager has one; Node has none, and perl is on every Debian and Mac. */
export interface DatagramReceiver {
  readonly path: string;
  readonly pid: number;
  /** Every message so far, without the BARRIER=1 by which systemd-notify learns that the one before has been read. */
  messages(): readonly string[];
  /** Waits until there are `count` messages. */
  waitFor(count: number): Promise<readonly string[]>;
  close(): Promise<void>;
}

const RECEIVER = `
  use IO::Socket::UNIX;
  my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die "bind: $!";
  $| = 1;
  print "listening\\n";
  while (defined $socket->recv(my $message, 65536)) { print unpack('H*', $message), "\\n" }
`;

export async function startDatagramReceiver(path: string): Promise<DatagramReceiver> {
  const child = spawn('perl', ['-e', RECEIVER, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  await until(() => lines[0] === 'listening', { what: 'the datagram socket' });
  const messages = () =>
    lines
      .slice(1)
      .map((line) => Buffer.from(line, 'hex').toString('utf8'))
      .filter((message) => message !== 'BARRIER=1');
  return {
    path,
    pid: child.pid!,
    messages,
    waitFor: async (count) => {
      await until(() => messages().length >= count, { what: `${count} messages, not ${JSON.stringify(messages())}` });
      return messages();
    },
    close: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill();
      await gone;
    },
  };
}

/**
 * Arguments for perl that turn it into `command` with a datagram socket connected to `path` as descriptor 3 of this name, the way
 * systemd's OpenFile= does it: same process, LISTEN_PID included.
 */
export function withInheritedSocket(path: string, command: readonly string[], name = 'notify'): string[] {
  const script = `
    use IO::Socket::UNIX; use POSIX ();
    $^F = 3; # descriptors up to this one survive exec
    my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => shift @ARGV) or die "connect: $!";
    if (fileno($socket) != 3) { POSIX::dup2(fileno($socket), 3) or die "dup2: $!" }
    $ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 1; $ENV{LISTEN_FDNAMES} = shift @ARGV;
    exec @ARGV or die "exec: $!";
  `;
  return ['-e', script, path, name, ...command];
}
