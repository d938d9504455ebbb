import { escapeUnsafeJson } from '../../lib/text.ts';

/**
 * Runs `work` and prints the document that it resolves with as all there is on standard output: what is printed for people meanwhile goes
 * to standard error.
 */
export async function printOnlyJson(work: () => Promise<object>): Promise<void> {
  const { write } = process.stdout;
  process.stdout.write = process.stderr.write.bind(process.stderr);
  let document: object;
  try {
    document = await work();
  } finally {
    process.stdout.write = write;
  }
  process.stdout.write(`${escapeUnsafeJson(JSON.stringify(document, null, 2))}\n`);
}
