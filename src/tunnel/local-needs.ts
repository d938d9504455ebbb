import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { Clock } from '../lib/clock.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { copiesOf } from './credential-path.ts';
import type { FailureCode } from './failure.ts';
import type { ServerSpec, TunnelSpec } from './spec.ts';
import { BoundedAgent, listAgentKeys } from './ssh2/agent.ts';

/** What a tunnel needs of this machine, and may come late or change: looked at while an attempt waits for it, and at no other time. */
export interface LocalNeeds {
  /** An attempt begins: from here on a change is one that it may not have seen. Ends whenChanged(). */
  look(): Promise<void>;
  /** Calls `changed` once, within about a second, when something has changed that a failure like this may come from. */
  whenChanged(code: FailureCode, changed: () => void): void;
  stop(): void;
}

export function watchLocalNeeds(spec: TunnelSpec, clock: Clock): LocalNeeds {
  // What goes wrong here goes wrong again in the attempt itself, which reports it.
  const sightOf = (need: Need) => SIGHTS[need](spec, clock).catch(errorText);
  let found: Readonly<Record<Need, Promise<string>>> | null = null;
  let stop = () => {};
  return {
    look: async () => {
      stop();
      found = { keys: sightOf('keys'), 'host keys': sightOf('host keys') };
      await found['host keys'];
    },
    whenChanged: (code, changed) => {
      const need = NEEDS[code];
      const before = need === undefined ? undefined : found?.[need];
      if (need === undefined || before === undefined) return;
      let over = false;
      let cancel = () => {};
      const lookAgain = async () => {
        const same = (await before) === (await sightOf(need));
        if (over) return;
        if (same) cancel = clock.timer(EVERY_MS, () => void lookAgain());
        else changed();
      };
      stop = () => {
        over = true;
        cancel();
      };
      void lookAgain();
    },
    stop: () => stop(),
  };
}

const EVERY_MS = 1000;

type Need = 'keys' | 'host keys';

const NEEDS: Readonly<Partial<Record<FailureCode, Need>>> = {
  'key-unreadable': 'keys',
  'key-passphrase': 'keys',
  'auth-rejected': 'keys',
  'host-key-unknown': 'host keys',
  'host-key-changed': 'host keys',
  'host-key-revoked': 'host keys',
};

const SIGHTS: Readonly<Record<Need, (spec: TunnelSpec, clock: Clock) => Promise<string>>> = {
  keys: sightOfKeys,
  'host keys': async (spec) => await sightOfFiles(hostKeyFiles(spec)),
};

async function sightOfKeys(spec: TunnelSpec, clock: Clock): Promise<string> {
  const agents = new Set(serversOf(spec).flatMap(({ identityAgent }) => identityAgent ?? []));
  const sights = [...agents].map((path) => sightOfAgent(path, clock));
  return (await Promise.all([...sights, sightOfFiles(keyFiles(spec))])).join('\n');
}

function keyFiles(spec: TunnelSpec): readonly string[] {
  const { entry } = spec;
  const files = serversOf(spec).flatMap(({ identityFiles, passphraseFile, passwordFile }) => [
    ...identityFiles.flatMap((file) => [file, `${file}.pub`]),
    passphraseFile,
    passwordFile,
  ]);
  return [...files, 'passwordFile' in entry ? entry.passwordFile : null].filter((file) => file !== null);
}

function hostKeyFiles(spec: TunnelSpec): readonly string[] {
  return serversOf(spec).flatMap(({ userKnownHostsFiles, globalKnownHostsFiles, revokedHostKeys }) => [
    ...userKnownHostsFiles,
    ...globalKnownHostsFiles,
    ...revokedHostKeys,
  ]);
}

function serversOf(spec: TunnelSpec): readonly ServerSpec[] {
  return [spec, ...spec.jumps];
}

/** With the copies that the service was handed. */
async function sightOfFiles(files: readonly string[]): Promise<string> {
  const paths = files.flatMap((file) => [file, ...copiesOf(file, process.env)]);
  return (await Promise.all([...new Set(paths)].map(sightOfFile))).join('\n');
}

async function sightOfFile(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs, mode, uid } = await stat(path);
    return [path, dev, ino, size, mtimeMs, ctimeMs, mode, uid].join(' ');
  } catch (error) {
    return `${path} ${errorCode(error)}`;
  }
}

/** Which keys it holds, or why that is not to be known. It is asked as seldom as a file is looked at. */
async function sightOfAgent(path: string, clock: Clock): Promise<string> {
  try {
    const hash = createHash('sha256');
    for (const key of await listAgentKeys(new BoundedAgent(path, clock))) hash.update(key.getPublicSSH());
    return `${path} ${hash.digest('base64')}`;
  } catch (error) {
    return `${path} ${errorCode(error)}`;
  }
}
