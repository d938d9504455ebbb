import { dirname } from 'node:path';
import { wrongUsage } from '../../../lib/user-error.ts';
import { isMeant } from '../../../model/redundancy.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { formatServer } from '../../../model/state.ts';
import type { Rotation } from '../../../setup/rotation.ts';
import { administrator } from '../../find/administrator.ts';
import type { Questions } from '../../text/prompt.ts';
import { report } from '../../text/report.ts';
import { accepts, answerTo, logIn, withKeys } from './accepts-key.ts';
import { asking } from '../log-in-once.ts';
import { untilServerIsReady } from '../wait-for-server.ts';
import type { Owner } from '../owner.ts';
import { isServerOf, openOwnerOf } from '../owner-of.ts';
import { serverSetupText } from '../server-setup.ts';
import { handOut } from '../write-script.ts';
import { parseConfig } from '../../../config/parse.ts';
import { systemEnvironment } from '../../../config/input/environment.ts';

/** What a rotation asks of the servers of a tunnel, which are one or several. */
export interface ServerSide {
  /** Has each server accept these keys alone; false where that is left to a person, and not done yet. */
  allow(keys: readonly string[], rotation: Rotation): Promise<boolean>;
  /** Logs in to each with this key alone. Rejects where one refuses it. */
  prove(key: string): Promise<void>;
}

/** The tunnel at each of its servers, and all tunnels of the file. */
interface Servers {
  readonly members: readonly TunnelSpec[];
  readonly all: readonly TunnelSpec[];
  readonly jump: boolean;
}

/** `owners` are logins of the owner's, one for each of the servers. */
export function byOwners(owners: readonly Owner[], servers: Servers, questions: Questions): ServerSide {
  let confirmed = questions.yes;
  return {
    allow: async (keys) => {
      for (const [index, member] of servers.members.entries())
        await owners[index]!.setUp(withKeys(member, keys), othersOf(member, keys, servers), servers.jump, {
          ...questions,
          yes: confirmed,
        });
      // One yes is for both changes of a server.
      confirmed = true;
      return true;
    },
    prove: async (key) => {
      for (const member of servers.members) await logIn(member, key);
    },
  };
}

/**
 * A script for one server after the other. What is to be done next shows at the servers: whether they accept the new key already, and the
 * old one still.
 */
export function byScript(servers: Servers, wait: boolean, scriptFor = ofKeys): ServerSide {
  const script = (member: TunnelSpec, keys: readonly string[]) =>
    serverSetupText(withKeys(member, keys), othersOf(member, keys, servers), {
      jump: servers.jump,
      undo: false,
      for: 'debian',
    });
  return {
    allow: async (keys, { next, old, phase }) => {
      const isNew = phase === 'begun';
      for (const member of servers.members) {
        const isDone = await asking(member, formatServer(member), () =>
          isNew ? accepts(member, next) : acceptsNone(member, old),
        );
        if (isDone) continue;
        if (servers.members.length > 1) report(`at ${formatServer(member)}:`);
        const { of, does } = scriptFor(isNew);
        const name = `${member.name.replaceAll(/[^\w.@-]/g, '_')}-${of}.sh`;
        await handOut(await script(member, keys), name, dirname(next));
        if (!isNew || !wait) {
          report(`${does}when it has run there, run this again`);
          return false;
        }
        await untilServerIsReady(withKeys(member, [next]), report);
      }
      return true;
    },
    prove: async () => {},
  };
}

/** What the file is called, and what the script does. */
function ofKeys(isNew: boolean): { readonly of: string; readonly does: string } {
  return isNew
    ? { of: 'new-key', does: 'it lets both keys in; ' }
    : { of: 'old-key', does: 'it removes the old key; ' };
}

/** A key that cannot be read here any more would be asked about for ever. */
async function acceptsNone(member: TunnelSpec, keys: readonly string[]): Promise<boolean> {
  const unread: string[] = [];
  for (const key of keys) {
    const answer = await answerTo(member, key);
    if (answer === 'accepted') return false;
    if (answer === 'unread') unread.push(key);
  }
  if (unread.length > 0)
    report(
      `${formatServer(member)} was not asked whether it still accepts ${unread.join(', ')}, which cannot be read here: what \`tunneld server-setup ${member.name}\` prints, run there as root, removes it`,
    );
  return true;
}

/** Those of the same tunnel change their keys with this one. */
function othersOf({ name }: TunnelSpec, keys: readonly string[], { members, all }: Servers): readonly TunnelSpec[] {
  return all
    .filter((one) => one.name !== name)
    .map((one) => (members.some((member) => member.name === one.name) ? withKeys(one, keys) : one));
}

/** Opens all of these logins, or none. Rejects with a UserError where one of the servers has none. */
export async function openOwners(
  members: readonly TunnelSpec[],
  vias: readonly string[],
  questions: Questions,
): Promise<readonly Owner[]> {
  const logins = await Promise.all(vias.map((via) => administrator(via)));
  const paired = pairLogins(members, logins);
  const owners: Owner[] = [];
  try {
    for (const [index, member] of members.entries())
      owners.push(await openOwnerOf(member, vias[paired[index]!]!, questions));
    return owners;
  } catch (error) {
    for (const owner of owners) await owner.close();
    throw error;
  }
}

/** Pure: for each server the number of the login that is for it: the one by its own address, else the next of the others. */
export function pairLogins(
  members: readonly TunnelSpec[],
  logins: readonly Parameters<typeof isServerOf>[1][],
): readonly number[] {
  if (logins.length !== members.length) {
    const servers = members.map(({ host, port }) => `--via me@${host}${port === 22 ? '' : `:${port}`}`).join(' ');
    throw wrongUsage(`name a login of yours for each server of the tunnel, and no other: ${servers}`);
  }
  const left = new Set(logins.keys());
  const take = (index: number | undefined) => {
    if (index !== undefined) left.delete(index);
    return index;
  };
  const exact = members.map((member) => take([...left].find((index) => isServerOf(member, logins[index]!))));
  return exact.map((index) => index ?? take(left.values().next().value)!);
}

/** The tunnel of this name at each of its servers. */
export function membersOf(tunnel: string, all: readonly TunnelSpec[]): readonly TunnelSpec[] {
  return all.filter(({ name }) => isMeant(name, tunnel));
}

/** The same in the text of a file. */
export async function membersIn(text: string, file: string, tunnel: string): Promise<readonly TunnelSpec[]> {
  return membersOf(tunnel, (await parseConfig(text, file, systemEnvironment())).tunnels);
}
