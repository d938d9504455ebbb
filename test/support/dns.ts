import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { TestContext } from 'node:test';

/** A name server on an address of loopback that says 127.0.0.1 to every question for an IPv4 address, and knows nothing else (RFC 1035). */
export async function startDns(t: TestContext, address: string): Promise<{ readonly asked: ReadonlySet<string> }> {
  const asked = new Set<string>();
  const socket = createSocket('udp4');
  t.after(() => new Promise<void>((resolve) => socket.close(() => resolve())));
  socket.on('message', (query, from) => {
    const { name, end } = readName(query, 12);
    asked.add(name);
    const question = query.subarray(12, end + 4);
    const isA = query.readUInt16BE(end) === 1;
    const head = Buffer.alloc(12);
    query.copy(head, 0, 0, 2);
    head.writeUInt16BE(0x8180, 2); // an answer, without error, by one who looks further for us
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(isA ? 1 : 0, 6);
    // The name again (as a pointer), type A, class IN, a minute, four bytes.
    const answer = isA ? Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]) : Buffer.alloc(0);
    socket.send(Buffer.concat([head, question, answer]), from.port, from.address);
  });
  socket.bind(53, address);
  await once(socket, 'listening');
  return { asked };
}

function readName(query: Buffer, start: number): { name: string; end: number } {
  const labels: string[] = [];
  let at = start;
  for (let length = query[at]!; length !== 0; length = query[at]!) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), end: at + 1 };
}
