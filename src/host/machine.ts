import { createHash } from 'node:crypto';
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readHostKeys } from './host-keys.ts';
import { succeeds } from '../lib/async/succeeds.ts';

/** Digests that distinguish this machine from another one with a copy of its files. */
export interface Machine {
  /** Of machine-id(5), which is confidential; null where there is none, and where it is created anew at each boot. */
  readonly id: string | null;
  /** Of the SSH host keys. */
  readonly hostKeys: readonly string[];
  /** Of the board's serial number (Raspberry Pi), and of the permanent addresses of its network cards. */
  readonly hardware: readonly string[];
}

/** `root` is the root of the file system. */
export async function readMachine(root = '/'): Promise<Machine> {
  const text = async (...path: readonly string[]) =>
    (await readFile(join(root, ...path), 'utf8').catch(() => '')).replaceAll('\0', '').trim();
  const id = await text('etc/machine-id');
  // Where /etc is read-only, systemd mounts a transient file over it that lasts until the next boot (machine-id(5),
  // "Initialization").
  const lasts = (await text('run/machine-id')) !== id;
  const serial = await text('sys/firmware/devicetree/base/serial-number');
  const net = join(root, 'sys/class/net');
  const cards = await readdir(net).catch(() => []);
  const addresses = await Promise.all(
    cards.map(async (card) => {
      const exists = await succeeds(access(join(net, card, 'device')));
      // 0 is the permanent address of the card (linux/netdevice.h, NET_ADDR_PERM); others are generated, and change.
      const made = exists && (await text('sys/class/net', card, 'addr_assign_type')) === '0';
      return made ? await text('sys/class/net', card, 'address') : '';
    }),
  );
  const keys = await readHostKeys(join(root, 'etc/ssh'));
  return {
    id: id !== '' && id !== 'uninitialized' && lasts ? digest(id) : null,
    hostKeys: keys.map((key) => digest(key.toString('base64'))),
    hardware: [serial, ...addresses]
      .filter((part) => part !== '')
      .map(digest)
      .toSorted(),
  };
}

/** Long enough to differ, and reveals nothing. */
function digest(text: string): string {
  return createHash('sha256').update(`tunneld ${text}`).digest('hex').slice(0, 16);
}
