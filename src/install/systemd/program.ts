import { open, readFile, realpath } from 'node:fs/promises';
import { UserError } from '../../lib/user-error.ts';
import { filesOfProgram, whyUnreachable } from './reachable.ts';
import { execWords } from './unit-file.ts';

/** How the service starts tunneld. */
export interface Program {
  /** The part of ExecStart before `run`. */
  readonly exec: string;
  /** Its arguments as the process gets them; null where a package's own start decides. */
  readonly argv: readonly string[] | null;
  /** The packaged unit, which is used as it is; null where the installation writes one. */
  readonly packagedUnit: string | null;
}

/** The program that runs now, with the path of Node: a service has another PATH than a login. */
export async function thisProgram(node: string, argv1: string): Promise<Program> {
  const script = await realpath(argv1);
  const argv = [node, ...(await nodeFlags(script)), script];
  const packagedUnit = await unitOfPackage(script);
  if (packagedUnit !== null) return { exec: '/usr/bin/tunneld', argv: null, packagedUnit };
  return { exec: execWords(argv), argv, packagedUnit };
}

/** Rejects a program that the service's user could not read in its sandbox. */
export async function checkProgram({ argv }: Program): Promise<void> {
  if (argv === null) return;
  const [node = ''] = argv;
  const nodeProblem = await whyUnreachable(node);
  if (nodeProblem !== null)
    throw new UserError(
      `the service cannot use this Node.js: ${nodeProblem}\n` +
        'install Node.js for the whole system (Debian: `sudo apt install nodejs`, or a package of nodejs.org), and tunneld with it',
    );
  for (const file of await filesOfProgram(argv.at(-1)!)) {
    const problem = await whyUnreachable(file);
    if (problem !== null)
      throw new UserError(
        `the service cannot use this tunneld: ${problem}\n` +
          'install it for the whole system (`umask 022; sudo npm install -g ...`), and run `sudo tunneld install` again',
      );
  }
}

/** The options of Node in the first line of the bundle (packaging/build.mjs). */
async function nodeFlags(script: string): Promise<readonly string[]> {
  const handle = await open(script);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(256), 0, 256, 0);
    return flagsOfFirstLine(buffer.toString('utf8', 0, bytesRead));
  } finally {
    await handle.close();
  }
}

function flagsOfFirstLine(text: string): readonly string[] {
  const words = /^#!([^\n]*)\n/.exec(text)?.[1]?.split(/\s+/) ?? [];
  return words.filter((word) => word.startsWith('--'));
}

/** The unit of the Debian package, where this program is the packaged one. */
async function unitOfPackage(script: string): Promise<string | null> {
  const started = await realpath('/usr/bin/tunneld').catch(() => null);
  if (started === null) return null;
  if (started !== script && !/^\/usr\/(?:lib|share)\/tunneld\//.test(script)) return null;
  for (const path of ['/usr/lib/systemd/system/tunnel.service', '/lib/systemd/system/tunnel.service']) {
    const text = await readFile(path, 'utf8').catch(() => '');
    if (/^ExecStart=\/usr\/bin\/tunneld run$/m.test(text)) return path;
  }
  return null;
}
