import { parseArgs } from 'node:util';
import { CLIENT_NAMES, type ClientName } from './clients.ts';
import { FAULTS, runFault, type Fault, type Outcome } from './faults.ts';

/**
 * Lets every fault happen several times to tunneld, autossh and a plain ssh loop side by side, at random moments and every second
 * time with busy connections open, and prints how long each took until visitors were served again. Ends with 1 where tunneld's
 * median is not within what is wanted.
 */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: '3' },
      at: { type: 'string', default: '4' },
      only: { type: 'string', default: '' },
    },
  });
  const faults = FAULTS.filter(({ name }) => name.includes(values.only));
  const runs = Number(values.runs);
  const jobs = Array.from({ length: runs }, (_, run) => faults.map((fault) => ({ fault, run }))).flat();
  const results = new Map<Fault, Outcome[]>(faults.map((fault) => [fault, []]));
  const worker = async () => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
      const { fault, run } = job;
      const outcomes = await runFault(fault, CLIENT_NAMES, { busy: run % 2 === 1, phase: Math.random() });
      results.get(fault)?.push(...outcomes);
      const times = outcomes.map(({ client, seconds, cut }) => `${client} ${show(seconds)}${cut ? ' (cut)' : ''}`);
      process.stderr.write(`${fault.name}: ${times.join(', ')}\n`);
    }
  };
  await Promise.all(Array.from({ length: Number(values.at) }, worker));

  const head = ['fault', ...CLIENT_NAMES, 'wanted'];
  const rows = faults.map((fault) => {
    const outcomes = results.get(fault) ?? [];
    return [fault.name, ...CLIENT_NAMES.map((name) => cell(timesOf(outcomes, name))), `<= ${fault.wanted}`];
  });
  const lines = [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`);
  process.stdout.write(`Seconds, median (worst) of ${runs}\n\n${lines.join('\n')}\n`);
  const late = faults.filter(
    (fault) => (median(timesOf(results.get(fault) ?? [], 'tunneld')) ?? Infinity) > fault.wanted,
  );
  for (const { name } of late) process.stdout.write(`too slow: ${name}\n`);
  return late.length === 0 ? 0 : 1;
}

function timesOf(outcomes: readonly Outcome[], name: ClientName): (number | null)[] {
  return outcomes.filter(({ client }) => client === name).map(({ seconds }) => seconds);
}

function cell(times: readonly (number | null)[]): string {
  if (times.length === 0) return '-';
  const worst = times.includes(null) ? null : Math.max(...times.map(Number));
  return `${show(median(times))} (${show(worst)})`;
}

/** Never counts as longer than anything. */
function median(times: readonly (number | null)[]): number | null {
  const sorted = times.map((time) => time ?? Infinity).toSorted((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)] ?? Infinity;
  return middle === Infinity ? null : middle;
}

function show(seconds: number | null): string {
  return seconds === null ? 'never' : seconds.toFixed(seconds < 10 ? 2 : 0);
}

process.exit(await main());
