import type { FleetDevice, FleetServer } from '../../fleet/document.ts';
import { type Paint, painter } from '../../lib/paint.ts';
import { escapeControls, formatAge, firstFew } from '../../lib/text.ts';
import { alignColumns } from './table.ts';

/** The devices of one server, or of several side by side; then what is wrong, with its devices. */
export function formatFleet(servers: readonly FleetServer[], colour: boolean): string {
  const paint = painter(colour);
  const [only] = servers;
  const table = servers.length === 1 ? oneServer(only!, paint) : sideBySide(servers, paint);
  const several = servers.length > 1;
  const troubles = servers.flatMap(({ server, devices }) =>
    devices.flatMap(({ device, user, troubles: all }) =>
      all.map(({ code, message }) =>
        paint(`${nameOf(device, user)}${several ? ` at ${server}` : ''}: ${code}: ${message}`, 31),
      ),
    ),
  );
  const problems = servers.flatMap(({ server, problems: all }) =>
    all.map((problem) => paint(`${server}: ${problem}`, 33)),
  );
  const parts = [[...table, summary(servers)], troubles, notAnnounced(servers), problems].filter(
    (part) => part.length > 0,
  );
  return `${parts.map((part) => part.map((line) => keepColour(line)).join('\n')).join('\n\n')}\n`;
}

/** What an administrator needs to know before a host key is taken away for a new one. */
function notAnnounced(servers: readonly FleetServer[]): readonly string[] {
  return servers.flatMap(({ server, hostKeys, devices }) =>
    hostKeys
      .filter(({ notAnnouncedTo }) => notAnnouncedTo.length > 0)
      .map(({ type, fingerprint, offeredSince, spare, notAnnouncedTo }) => {
        const names = notAnnouncedTo.map((user) => devices.find((one) => one.user === user)?.device ?? user);
        const since =
          offeredSince === undefined
            ? 'which sshd has not loaded since it was made, as far as its log shows'
            : `offered since ${offeredSince}`;
        const unless = spare === true ? ', unless they have it pinned as the spare host key' : '';
        return `${server}: of its host key ${type} ${fingerprint} (${since}) these devices have not been told yet, which happens at their next login${unless}: ${firstFew(names, NAMED).join(', ')}`;
      }),
  );
}

function oneServer({ devices, at }: FleetServer, paint: Paint): readonly string[] {
  const now = Date.parse(at);
  return alignColumns([
    ['DEVICE', 'USER', 'PORT', 'STATE', 'VERIFIED', 'SINCE', 'FROM', 'VISITORS', 'LAST SEEN'],
    ...devices.map((one) => [
      one.device,
      one.user,
      portOf(one),
      stateText(one, paint),
      one.verified,
      one.since === undefined ? '-' : formatAge(one.since, now),
      one.from ?? '-',
      one.visitors === null ? '-' : String(one.visitors),
      one.lastSeen === undefined ? '-' : `${formatAge(one.lastSeen, now)} ago`,
    ]),
  ]);
}

/** A device is the same on two servers by its name. */
function sideBySide(servers: readonly FleetServer[], paint: Paint): readonly string[] {
  const names = [...new Set(servers.flatMap(({ devices }) => devices.map(({ device }) => device)))];
  return alignColumns([
    ['DEVICE', ...servers.map(({ server }) => server)],
    ...names.map((name) => [
      name,
      ...servers.map(({ devices, at }) => {
        const here = devices.filter(({ device }) => device === name);
        return here.length === 0 ? '-' : here.map((one) => cell(one, Date.parse(at), paint)).join('; ');
      }),
    ]),
  ]);
}

function cell(one: FleetDevice, now: number, paint: Paint): string {
  return [
    `${portOf(one)} ${stateText(one, paint)}`,
    ...(one.since === undefined ? [] : [formatAge(one.since, now)]),
    ...(one.verified === 'yes' ? ['verified'] : []),
    ...(one.visitors === null || one.visitors === 0 ? [] : [`visitors: ${one.visitors}`]),
  ].join(', ');
}

function portOf({ host, port }: FleetDevice): string {
  if (port === null) return '-';
  return host === 'localhost' ? String(port) : `${host}:${port}`;
}

function stateText({ state, troubles }: FleetDevice, paint: Paint): string {
  if (troubles.length === 0) return paint(state, 32);
  const [{ code }] = troubles as [FleetDevice['troubles'][number]];
  return paint(state === 'up' ? `up, ${code}` : state === code ? state : `${state}, ${code}`, 31);
}

function summary(servers: readonly FleetServer[]): string {
  const devices = servers.flatMap((server) => server.devices);
  const wrong = devices.filter(({ troubles }) => troubles.length > 0).length;
  const [up, standby] = (['up', 'standby'] as const).map((is) => devices.filter(({ state }) => state === is).length);
  return `${devices.length} ports: ${up} up${standby === 0 ? '' : `, ${standby} on standby`}${wrong === 0 ? '' : `, ${wrong} in trouble`}`;
}

function nameOf(device: string, user: string): string {
  return device === user ? device : `${device} (${user})`;
}

/** All of it came from a server: only our own colours move the terminal. */
function keepColour(line: string): string {
  return line.replaceAll(/\u001b\[\d+m|[^\u001b]+|\u001b/g, (part) =>
    /^\u001b\[\d+m$/.test(part) ? part : escapeControls(part),
  );
}

/** Whether every server could be read, and all its devices are as they should be. */
export function isWell(servers: readonly FleetServer[]): boolean {
  return servers.every(({ read, devices }) => read && devices.every(({ troubles }) => troubles.length === 0));
}

/** More would not fit into a message of Nagios. */
const NAMED = 20;

/** One line for Nagios, with performance data behind the bar; 3 where a server could not be read. */
export function fleetCheck(servers: readonly FleetServer[]): { readonly code: 0 | 2 | 3; readonly text: string } {
  const devices = servers.flatMap((server) => server.devices);
  const wrong = devices.filter(({ troubles }) => troubles.length > 0);
  const up = devices.filter(({ state }) => state === 'up').length;
  const figures = `|up=${up};;;0;${devices.length} trouble=${wrong.length};;;0;${devices.length}`;
  const unread = servers.filter(({ read }) => !read);
  const line = (text: string) => escapeControls(text.replaceAll('|', '/'));
  if (wrong.length > 0) {
    const named = wrong.map(({ device, troubles }) => `${device} ${troubles[0]!.code}`);
    const each = firstFew(named, NAMED).join(', ');
    return {
      code: 2,
      text: `FLEET CRITICAL: ${wrong.length} of ${devices.length} in trouble: ${line(each)}${figures}`,
    };
  }
  if (unread.length > 0) {
    const each = unread.map(({ server, problems }) => `${server}: ${problems[0]}`).join('; ');
    return { code: 3, text: `FLEET UNKNOWN: ${line(each)}${figures}` };
  }
  return { code: 0, text: `FLEET OK: ${up} of ${devices.length} up${figures}` };
}
