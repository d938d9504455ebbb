/** Small programs for the lab's machines, given to `node -e`. */

/** The device's service: greets every guest and repeats what it says; `give N` is answered by N bytes and the end. */
export const TARGET = `
  require('node:net').createServer((socket) => {
    socket.on('error', () => {});
    socket.write('!');
    socket.once('data', (first) => {
      const [, bytes] = /^give (\\d+)/.exec(first) ?? [];
      if (bytes !== undefined) return void socket.end(Buffer.alloc(Number(bytes)));
      socket.write(first);
      socket.pipe(socket);
    });
  }).listen(7000, '127.0.0.1');
  process.stdout.write('listening\\n');`;

/**
 * Visits ports of the server all the time, and looks every so many milliseconds (the first argument) who listens: prints \`up PORT MS\` when a visit succeeds, which then is the last, \`free PORT MS\` when nobody listens. With
 * \`shy\` it visits only listeners that were not there when it began: a visit to that of a dead session makes the server send
 * something, which a device that has forgotten the session answers with a reset, and helps clients that could not help themselves.
 */
export const PROBER = `
  const { connect } = require('node:net');
  const { readFileSync } = require('node:fs');
  const shy = process.argv[1] === 'shy';
  const [lookMs, ...ports] = process.argv.slice(shy ? 2 : 1).map(Number);
  const listeners = () => {
    const lines = readFileSync('/proc/net/tcp', 'utf8').split('\\n').map((line) => line.trim().split(/ +/));
    const listening = lines.filter(([, , remote, state]) => remote === '00000000:0000' && state === '0A');
    return new Map(listening.reverse().map((line) => [parseInt(line[1].split(':')[1], 16), line[9]]));
  };
  const listener = (inodes, port) => inodes.get(port) ?? null;
  const old = new Map(ports.map((port) => [port, listener(listeners(), port)]));
  const say = (what, port) => process.stdout.write(what + ' ' + port + ' ' + Date.now() + '\\n');
  const free = new Set();
  const held = new Map(old);
  let inodes = listeners();
  // More would be a load of their own where tunnels are many and the machine is slow.
  const MOST = 64;
  process.stdout.write('watching\\n');
  for (const port of ports) { let guests = { of: null, count: 0 }; const visits = setInterval(() => {
    const inode = listener(inodes, port);
    if ([null, shy ? old.get(port) : null].includes(inode)) return;
    if (guests.of !== inode) guests = { of: inode, count: 0 };
    const mine = guests;
    if (mine.count >= MOST / ports.length) return;
    mine.count += 1;
    const socket = connect(port, '127.0.0.1');
    socket.setTimeout(3000, () => socket.destroy());
    socket.on('error', () => {});
    socket.on('close', () => (mine.count -= 1));
    socket.once('data', () => { clearInterval(visits); say('up', port); socket.destroy(); });
  }, 50); }
  setInterval(() => {
    inodes = listeners();
    for (const port of ports) {
      const now = listener(inodes, port);
      // Another one is there, so that it was free in between, too short a time to be seen.
      if (now !== null && ![null, now].includes(held.get(port)) && !free.has(port)) say('free', port);
      held.set(port, now ?? held.get(port));
      if (now !== null) free.delete(port);
      else if (!free.has(port)) { free.add(port); say('free', port); }
    }
  }, lookMs);`;

/** A guest at each port that stays, and talks all the time unless it is `quiet`; prints \`cut PORT\` when its connection ends. */
export const GUESTS = `
  const quiet = process.argv[1] === 'quiet';
  for (const port of process.argv.slice(quiet ? 2 : 1).map(Number)) {
    const socket = require('node:net').connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('close', () => process.stdout.write('cut ' + port + '\\n'));
    socket.once('data', () => process.stdout.write('in ' + port + '\\n'));
    if (!quiet) setInterval(() => socket.write('x'.repeat(1000)), 100);
  }`;

/** Has the service send so many bytes through a port; prints how many came. */
export const DOWNLOAD = `
  const [port, bytes] = process.argv.slice(1).map(Number);
  let came = -1;
  const socket = require('node:net').connect(port, '127.0.0.1', () => socket.write('give ' + bytes));
  socket.on('data', (chunk) => (came += chunk.length));
  socket.on('error', () => {});
  socket.on('close', () => process.stdout.write(came + '\\n'));`;

/** Another program that has the ports. */
export const OCCUPANT = `
  for (const port of process.argv.slice(1).map(Number))
    for (const host of ['127.0.0.1', '::1'])
      require('node:net').createServer((socket) => socket.destroy()).on('error', () => {}).listen(port, host);
  process.stdout.write('listening\\n');`;
