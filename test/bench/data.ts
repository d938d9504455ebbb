import type { TestSshd } from '../support/sshd.ts';
import { freePort } from '../support/until.ts';
import { opensshClient, tunneldClient, withRunning } from './clients.ts';
import { cpuSeconds, residentMiB } from './process-cost.ts';
import { throughput, type Direction } from './throughput.ts';

/** What one direction of one cipher costs: ssh's figures, then ours. */
export interface DataCost {
  readonly cipher: string;
  readonly direction: Direction;
  /** Seconds of the client's processor time for 10^9 bytes. */
  readonly cpu: readonly [number[], number[]];
  /** MB (10^6 bytes) a second. */
  readonly speed: readonly [number[], number[]];
}

const CIPHERS = ['aes128-gcm@openssh.com', 'chacha20-poly1305@openssh.com'];
const ROUNDS = 7;
/** Until what the load left may be gone, in milliseconds. */
const QUIET_MS = 60_000;

/** The cost of a byte beside `ssh -NR`, in turn, and the memory of tunneld a minute after. */
export async function compareData(
  sshd: TestSshd,
  target: number,
  bytes: number,
): Promise<{ readonly costs: readonly DataCost[]; readonly residentMiB: readonly number[] }> {
  const costs: DataCost[] = [];
  const memory: number[] = [];
  for (const cipher of CIPHERS) {
    const clients = [
      opensshClient(sshd, [{ port: await freePort(), target }], cipher),
      tunneldClient(sshd, [{ port: await freePort(), target }], cipher),
    ];
    await withRunning(clients, async (children) => {
      for (const direction of ['to visitor', 'to target'] satisfies Direction[]) {
        const cost: DataCost = { cipher, direction, cpu: [[], []], speed: [[], []] };
        // The first round is for the just-in-time compiler.
        for (let round = 0; round <= ROUNDS; round++) {
          for (const index of [0, 1] as const) {
            const before = cpuSeconds(children[index]!.pid!);
            const speed = await throughput(clients[index]!.port, direction, bytes);
            if (round === 0) continue;
            cost.cpu[index].push(((cpuSeconds(children[index]!.pid!) - before) * 1e9) / bytes);
            cost.speed[index].push(speed);
          }
        }
        costs.push(cost);
      }
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
      memory.push(residentMiB(children[1]!.pid!));
    });
  }
  return { costs, residentMiB: memory };
}
