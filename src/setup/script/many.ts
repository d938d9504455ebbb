import type { ServerSetup } from '../../server-rules/server-setup.ts';
import { PATHS, variables } from './head.ts';
import { comment } from './quote.ts';
import { setUpSteps, textsOf } from './set-up.ts';
import type { System } from './system.ts';
import { undoSteps } from './undo.ts';
import { shellQuote } from '../../lib/shell-quote.ts';

/** The setup of a server for one device of many. */
export interface DeviceSetup {
  readonly device: string;
  readonly setup: ServerSetup;
}

/** One script for all: each device is set up, or left as it was, whatever becomes of the others. */
export function setUpManyScript(devices: readonly DeviceSetup[], system: System, server: string): string {
  const notes = [...new Set(devices.flatMap(({ setup }) => setup.notes))];
  return script(
    [
      `Sets the server ${server} up for ${devices.length} devices of tunneld. Read it, then run it there as root.`,
      '',
      'Each device is a user of its own, which may do only what is listed. Where a step fails, the changes for that device are reverted, and',
      'the next one follows. A second run changes nothing.',
      ...notes.flatMap((note) => ['', `Note: ${note}`]),
    ],
    [variables(null, system), setUpSteps(system)],
    devices.map(({ device, setup }) => [device, setup.user, textsOf(setup)]),
    'set up',
  );
}

/** The script that undoes it. */
export function undoManyScript(devices: readonly DeviceSetup[], system: System, server: string): string {
  return script(
    [
      `Undoes the setup of the server ${server} for ${devices.length} devices of tunneld. Read it, then run it there as root.`,
      'A user that existed before is kept; one that was created is removed, and its connections end.',
    ],
    [variables(null, system), undoSteps(system)],
    devices.map(({ device, setup }) => [device, setup.user, '']),
    'undone',
  );
}

/** A condition around a subshell would turn its `set -e` off (POSIX, Shell Command Language, set). */
function script(
  head: readonly string[],
  work: readonly string[],
  devices: readonly (readonly [device: string, user: string, texts: string])[],
  done: string,
): string {
  return [
    '#!/bin/sh',
    comment(head),
    'set -u',
    'umask 022',
    PATHS,
    'failed=',
    'count=0',
    '',
    '# The work for one user, in a process of its own.',
    'work_for() (',
    'set -eu',
    ...work,
    ')',
    '',
    'one() {',
    `  printf '%s\\n' "$1:"`,
    '  work_for "$2"',
    '  if [ "$?" = 0 ]; then count=$((count + 1)); else failed="$failed $1"; fi',
    '}',
    ...devices.flatMap(([device, user, texts]) => [
      '',
      comment([device]),
      ...(texts === '' ? [] : [texts]),
      `one ${shellQuote(device)} ${shellQuote(user)}`,
    ]),
    '',
    `printf '%s\\n' "devices ${done}: $count"`,
    `if [ -n "$failed" ]; then printf '%s\\n' "tunneld: not ${done}:$failed" >&2; exit 1; fi`,
    '',
  ].join('\n');
}
