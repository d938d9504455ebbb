/**
 * Closes two ways in which Node opens its debugger, through which any user of the machine can read and run everything,
 * against the will of the user that started this process: SIGUSR1, which programs like autossh use for something else,
 * as long as it has no listener; and a NODE_OPTIONS left in the environment (that of the caller of `su`). The time
 * before, while Node starts, is covered by the option in the program's first line (packaging/build.mjs). `node
 * --inspect …` on the command line still works.
 */
export async function keepDebuggerClosed(): Promise<void> {
  process.on('SIGUSR1', () => {});
  const asked = process.execArgv.some((option) => /^--inspect(?!-port)/.test(option));
  if (asked || !/--inspect/.test(process.env['NODE_OPTIONS'] ?? '')) return;
  const { close } = await import('node:inspector');
  close();
}
