import { parse } from 'fast-plist';
import { orElse } from '../../lib/or-else.ts';
import { errorCode } from '../../lib/text.ts';
import { NotUnderstood } from '../takeover/not-understood.ts';
import { sshCommands } from '../takeover/ssh-command.ts';
import { isTunnel, type Keeper } from './keeper.ts';
import type { OldMachine } from './machine.ts';

/** The jobs of launchd that run ssh or autossh: daemons, and agents of all users and of each. */
export function keepersOfLaunchd(machine: OldMachine): readonly Keeper[] {
  const own = machine.accounts.map((account) => ({ directory: `${account.home}/Library/LaunchAgents`, account }));
  return [{ directory: '/Library/LaunchDaemons', account: null }, ...own].flatMap(({ directory, account }) =>
    machine
      .names(directory)
      .filter((name) => name.endsWith('.plist'))
      .flatMap((name) => {
        const keeper = keeperOf(`${directory}/${name}`, account, machine);
        return keeper === null ? [] : [keeper];
      }),
  );
}

function keeperOf(
  file: string,
  account: { readonly name: string; readonly uid: number } | null,
  machine: OldMachine,
): Keeper | null {
  const text = textAt(file, machine);
  if (text instanceof Error) return keeper(file, '', account, [], `it cannot be read: ${text.message}`);
  // A property list that is not XML has it, too, where it is text.
  if (!/\bssh\b|autossh|\.sh\b/.test(text)) return null;
  const job = jobIn(text);
  if (job === null)
    return /autossh|\/ssh\b/.test(text)
      ? keeper(file, '', account, [], `it is not XML: plutil -convert xml1 ${file}`)
      : null;
  const label = textOf(job['Label']) ?? '';
  const user = account?.name ?? textOf(job['UserName']) ?? 'root';
  try {
    const commands = commandsOf(job, user, machine).filter(isTunnel);
    if (commands.length === 0) return null;
    // The domain alone would be named then, and launchctl would unload all that is in it.
    if (!/^[^/\s]+$/.test(label))
      return keeper(file, label, account, [], 'it has no Label by which launchd would know it');
    const owned = commands.map((one) => ({ ...one, user: one.user ?? user, droppedSettings: [] }));
    return keeper(file, label, account, owned, null);
  } catch (error) {
    if (!(error instanceof NotUnderstood)) throw error;
    return keeper(file, label, account, [], error.message);
  }
}

/** Nothing is known of a binary property list, which most that programs write are. */
function textAt(file: string, machine: OldMachine): string | Error {
  try {
    return machine.text(file) ?? '';
  } catch (error) {
    return errorCode(error) === undefined ? '' : (error as Error);
  }
}

/** A property list in XML (plist(5)). */
type Job = Readonly<Record<string, unknown>>;

/** Null for anything but a dictionary. */
function jobIn(text: string): Job | null {
  const body = /<plist\b[^>]*>([^]*)<\/plist>/.exec(text.replaceAll(/<!--[^]*?-->/g, ''))?.[1];
  if (body === undefined) return null;
  // The parser knows hexadecimal digits in lower case, and takes a list that is not closed for one of its parts, unless it is within another.
  const list = `<array>${body.replaceAll(/&#x[\dA-F]+;/gi, (digits) => digits.toLowerCase())}</array>`;
  const job: unknown = orElse(() => (parse(list) as unknown[])[0], null);
  return typeof job === 'object' && !Array.isArray(job) ? (job as Job | null) : null;
}

function commandsOf(job: Job, user: string, machine: OldMachine) {
  const given = job['ProgramArguments'];
  const words = Array.isArray(given) ? given.flatMap((word: unknown) => textOf(word) ?? []) : [];
  const program = textOf(job['Program']);
  const homeOf = (name: string) => machine.accounts.find((one) => one.name === name)?.home ?? null;
  const variables = job['EnvironmentVariables'] as Readonly<Record<string, string>> | undefined;
  const environment = { HOME: homeOf(user) ?? '/var/root', USER: user, LOGNAME: user, ...variables };
  const directory = textOf(job['WorkingDirectory']) ?? '/';
  return sshCommands(program === null ? words : [program, ...words.slice(1)], {
    environment,
    directory,
    homeOf,
    readText: machine.text,
  });
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function keeper(
  file: string,
  label: string,
  account: { readonly uid: number } | null,
  commands: Keeper['commands'],
  why: string | null,
): Keeper {
  const domain = account === null ? 'system' : `gui/${account.uid}`;
  return { name: file, file, commands, why, enabled: true, running: true, hold: { type: 'launchd', label, domain } };
}
