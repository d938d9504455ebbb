/** Says something to whoever called the command, beside what it answers on standard output. */
export function tell(text: string): void {
  process.stderr.write(`tunneld: ${text}\n`);
}
