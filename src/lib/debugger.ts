/**
 * Node opens its debugger, at which any user of the machine may read and run everything, on two occasions that are none of the user
 * who started this: SIGUSR1, which to programs like autossh means something else, as long as nobody listens for it; and a
 * NODE_OPTIONS left in the environment (that of the caller of `su`). Neither works from here on. What comes before, while Node starts, is
 * up to the option in the program's first line (packaging/build.mjs). `node --inspect …` on the command line still does.
 */
export async function keepDebuggerClosed(): Promise<void> {
  process.on('SIGUSR1', () => {});
  const asked = process.execArgv.some((option) => /^--inspect(?!-port)/.test(option));
  if (asked || !/--inspect/.test(process.env['NODE_OPTIONS'] ?? '')) return;
  const { close } = await import('node:inspector');
  close();
}
