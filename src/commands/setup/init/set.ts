import { parse } from 'yaml';
import { wrongUsage } from '../../../lib/user-error.ts';
import type { NewTunnel } from '../../../setup/new-config.ts';
import type { EditedValue } from '../../../setup/edit-config.ts';

export type Settings = Readonly<Record<string, EditedValue>>;

/** The keys of `--set KEY=VALUE`, with values as YAML reads them. Throws a UserError for what is none. */
export function readSettings(given: readonly string[]): Settings {
  return Object.fromEntries(
    given.map((text) => {
      const [, key = '', value = ''] = /^([A-Za-z]+)=(.*)$/s.exec(text) ?? [];
      if (key === '') throw wrongUsage(`--set ${JSON.stringify(text)}: it must be KEY=VALUE, such as port=2222`);
      return [key, valueOf(key, value)];
    }),
  );
}

function valueOf(key: string, text: string): EditedValue {
  try {
    const value = parse(text) as EditedValue | null;
    // Words such as yes are kept as they are written.
    return value === null || typeof value === 'boolean' ? text : value;
  } catch {
    throw wrongUsage(`--set ${key}: ${JSON.stringify(text)} is no value as YAML has it`);
  }
}

/** The tunnel with these keys; those that init does not write itself are added to it. */
export function withSettings(tunnel: NewTunnel, settings: Settings): NewTunnel {
  const { host, port, user, identityFile, userKnownHostsFile, remoteForward, ...more } = settings;
  if (more['servers'] !== undefined)
    throw wrongUsage(
      '--set servers: init sets one server up. Write servers into the file in the place of host, and run on each of the others what `tunneld server-setup NAME@HOST` prints',
    );
  const words = Object.entries({ host, user, identityFile, userKnownHostsFile }).flatMap(([key, value]) =>
    value === undefined ? [] : [[key, word(key, value)]],
  );
  const forwards = [remoteForward ?? []].flat() as readonly EditedValue[];
  return {
    ...tunnel,
    ...Object.fromEntries(words),
    ...(port === undefined ? {} : { port: portOf(word('port', port)) }),
    ...(remoteForward === undefined ? {} : { remoteForward: forwards.map((one) => word('remoteForward', one)) }),
    more,
  };
}

/** Whether it is one of TCP is for the configuration to say. */
function portOf(text: string): number {
  if (/^-?\d+$/.test(text)) return Number(text);
  throw wrongUsage(`--set port: it must be a whole number, not ${JSON.stringify(text)}`);
}

function word(key: string, value: EditedValue): string {
  if (typeof value === 'object') throw wrongUsage(`--set ${key}: it must be one value here`);
  return String(value);
}
