import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { systemEnvironment } from '../../../config/input/environment.ts';
import { defaultStateDirectory } from '../../../config/input/paths.ts';
import { readJump } from '../../../config/schema/jump.ts';
import { canonicalAddress } from '../../../config/values/address.ts';
import { isBareListener, noTarget, readForward } from '../../../config/values/forward.ts';
import { BadValue } from '../../../config/values/value.ts';
import { wrongUsage } from '../../../lib/user-error.ts';
import { readCertificateFile } from '../../../connection/auth/certificate-file.ts';
import { TunnelFailure } from '../../../model/failure.ts';
import { formatAddress, formatEndpoint } from '../../../model/endpoint.ts';
import { type TunnelSpec, TUNNEL_NAME } from '../../../model/spec.ts';
import { checkUser } from '../../../server-rules/names.ts';
import { type NewTunnel, SOCKS_FORWARD } from '../../../setup/new-config.ts';
import { AUTO, forwardPort, portNumber, withPort } from '../../../setup/via/forward-port.ts';
import { DEFAULT_RANGE } from '../../../setup/via/ports.ts';
import { administrator, callersEnvironment } from '../../find/administrator.ts';
import { checkKey } from '../../../setup/new-key.ts';
import { askFor, type Questions } from '../../text/prompt.ts';
import { report } from '../../text/report.ts';
import { readSettings, type Settings, withSettings } from './set.ts';
import { tunnelsOf } from './compare.ts';

/** What init was asked to make. */
export interface Wanted {
  readonly tunnel: NewTunnel;
  /** A key that is copied to the tunnel's, because the service sees no home directories; null for none. */
  readonly keyFrom: string | null;
  /** The login of the owner's, over which the server is set up now; null where a person runs the script there. */
  readonly admin: TunnelSpec | null;
}

export interface WantedOptions {
  readonly server: string | null;
  readonly forwards: readonly string[];
  readonly name: string | null;
  readonly via: string | null;
  /** The private key to use; null to make one. */
  readonly i: string | null;
  /** A certificate of that key. */
  readonly certificate: string | null;
  /** `KEY=VALUE`. */
  readonly set: readonly string[];
}

/** From the arguments, and from a person where something is missing. Throws a UserError for what cannot be. */
export async function wantedTunnel(file: string, options: WantedOptions, questions: Questions): Promise<Wanted> {
  const environment = systemEnvironment();
  const given = options.via === null ? null : await administrator(options.via);
  const old = (await tunnelsOf(file)).find(({ name }) => name === options.name) ?? null;
  const server = await serverOf(options, given, old, questions.ask);
  const forwards = await forwardsFor(options, given !== null, old, questions);
  for (const forward of forwards) checkForward(forward);
  const name = checkName(options.name ?? nameOf(server.host));
  const host = canonicalAddress(server.host);
  const port = server.port ?? 22;
  const admin = given ?? (await askForAdmin(formatAddress({ host, port }), questions));
  const ports = admin === null ? await withoutAuto(forwards, questions) : forwards;
  const directory = dirname(file);
  const { identityFile, keyFrom } = await keyOf(options.i ?? (await keyBeside(options.certificate)), file, name);
  const tunnel = {
    name,
    host,
    port,
    user: await userOf(server.user ?? environment.userName, questions),
    identityFile,
    userKnownHostsFile: join(isSystems(directory) ? defaultStateDirectory(environment) : directory, 'known_hosts'),
    remoteForward: ports,
  };
  const like = await likeTheOldOne(file, tunnel, server.user === undefined || options.server === null);
  return {
    tunnel: withSettings(like, { ...(await certificateOf(options)), ...readSettings(options.set) }),
    keyFrom,
    admin,
  };
}

/** The setting of a certificate that a login can use. */
async function certificateOf({ certificate }: WantedOptions): Promise<Settings> {
  if (certificate === null) return {};
  const path = resolve(certificate);
  const found = await readCertificateFile(path);
  if (found instanceof TunnelFailure) throw wrongUsage(`--certificate: ${found.message}`);
  return { certificateFile: path };
}

/** The key of a certificate that has the name that ssh-keygen gives it. */
async function keyBeside(certificate: string | null): Promise<string | null> {
  const [, key] = /^(.+)-cert\.pub$/.exec(certificate ?? '') ?? [];
  return key !== undefined && (await checkKey(resolve(key))) ? key : null;
}

/** The key that is made for a tunnel, beside its configuration. */
export function ownKey(file: string, name: string): string {
  return join(dirname(file), `${name}.key`);
}

async function keyOf(
  given: string | null,
  file: string,
  name: string,
): Promise<Pick<NewTunnel, 'identityFile'> & Pick<Wanted, 'keyFrom'>> {
  const directory = dirname(file);
  const own = ownKey(file, name);
  if (given === null) return { identityFile: own, keyFrom: null };
  const path = resolve(given);
  if (!(await checkKey(path))) throw wrongUsage(`-i ${path}: there is no such key`);
  if (!isSystems(directory) || dirname(path) === directory) return { identityFile: path, keyFrom: null };
  return { identityFile: own, keyFrom: path };
}

/** A tunnel that is there already is meant where only its name is given. */
async function serverOf(
  { server, via }: WantedOptions,
  given: TunnelSpec | null,
  old: TunnelSpec | null,
  ask: Questions['ask'],
): Promise<ReturnType<typeof readJump>> {
  if (server === null && old !== null) return { host: old.host, port: old.port, user: old.user };
  if (server === null && given !== null) return beside(given, via!);
  const read = (text: string) => named('the server', readJump, text);
  return server === null
    ? await askFor(ask, 'The server, as [user@]host[:port]', null, read, NAME_THE_SERVER)
    : read(server);
}

async function forwardsFor(
  options: WantedOptions,
  isAuto: boolean,
  old: TunnelSpec | null,
  questions: Questions,
): Promise<readonly string[]> {
  const given = options.forwards.length > 0 ? options.forwards : forwardsOf(old);
  const forwards: string[] = [];
  for (const forward of given ?? [await askForForward(isAuto, questions)])
    forwards.push(await withTarget(forward, questions));
  return forwards;
}

/** Null where there is no such tunnel, and where it has other forwards than those of -R. */
function forwardsOf(old: TunnelSpec | null): readonly string[] | null {
  if (old === null || old.forwards.some(({ kind }) => kind !== 'remote')) return null;
  return old.forwards.map(({ listen, target }) =>
    target.type === 'socks' ? `${formatEndpoint(listen)}:socks` : `${formatEndpoint(listen)}:${formatEndpoint(target)}`,
  );
}

/** A free port can be chosen only where the server is looked at. */
async function askForForward(isAuto: boolean, { ask }: Questions): Promise<string> {
  const port = await askFor(
    ask,
    'The port of the server that leads to this device',
    isAuto ? AUTO : '8080',
    readPort,
    'name a forward, such as -R 8080:localhost:22',
  );
  const target = (answer: string) => checkForward(`${port}:${answer}`);
  return await askFor(ask, 'Its target, as seen from this device', SSH_TARGET, target);
}

const SSH_TARGET = 'localhost:22';

/** With the address to listen on, where a person names one. */
function readPort(answer: string): string {
  checkForward(`${answer}:${SSH_TARGET}`);
  return answer;
}

/** The same forwards, with ports in the place of those that only a look at the server could choose. */
async function withoutAuto(
  forwards: readonly string[],
  { interactive, yes, ask }: Questions,
): Promise<readonly string[]> {
  const known: string[] = [];
  for (const forward of forwards) {
    if (forwardPort(forward) !== AUTO) {
      known.push(forward);
      continue;
    }
    const why = `-R ${AUTO}:… takes a port that is free on the server, which only --via [me@]server can see: name a port`;
    if (!interactive || yes) throw wrongUsage(why);
    report(why);
    const read = (answer: string) => checkForward(withPort(forward, portNumber(answer)));
    known.push(await askFor(ask, 'The port of the server that leads to this device', '8080', read));
  }
  return known;
}

const NAME_THE_SERVER = 'name the server and a forward, as in `tunneld init me@server -R 8080:localhost:22`';

/** For ssh, a listener without a target is a SOCKS proxy: a person says what is meant. */
async function withTarget(forward: string, { interactive, yes, ask }: Questions): Promise<string> {
  if (!isBareListener(forward) || !interactive || yes) return forward;
  report(`-R ${forward} ${noTarget(forward, `${forward}:socks`)}`);
  const question = `Where -R ${forward} leads to, as seen from this device (socks: a SOCKS proxy)`;
  return await askFor(ask, question, SSH_TARGET, (answer) => checkForward(`${forward}:${answer}`));
}

async function userOf(user: string, { interactive, yes, ask }: Questions): Promise<string> {
  if (user !== 'root' || !interactive || yes) return user;
  report('root of the server cannot be used for a tunnel: its key could do everything there');
  return await askFor(
    ask,
    'Another user of the server for the tunnel, which need not exist yet',
    ownUser(),
    (answer) => {
      if (answer === 'root') throw wrongUsage('root cannot be used for a tunnel');
      return checkUser(answer, 'the user');
    },
  );
}

function checkForward(forward: string): string {
  if (isBareListener(forward))
    throw wrongUsage(`-R ${JSON.stringify(forward)} ${noTarget(forward, `${forward}:socks`)}`);
  const whole = forwardPort(forward) === AUTO ? withPort(forward, DEFAULT_RANGE.first) : forward;
  named(`-R ${JSON.stringify(forward)}`, (raw) => readForward('remote', written(raw), (text) => String(text)), whole);
  return forward;
}

function written(forward: string): unknown {
  const [, listen] = SOCKS_FORWARD.exec(forward) ?? [];
  return listen === undefined ? forward : { listen, target: 'socks' };
}

/** The server of the tunnel, where only the owner's login names it: a user of the tunnel's own there, named after this device. */
function beside({ host, port, jumps }: TunnelSpec, via: string): ReturnType<typeof readJump> {
  if (jumps.length > 0)
    throw wrongUsage(
      `--via ${via} goes through other servers (ProxyJump in your ssh_config): name the server as this device reaches it, too (tunneld init limited@server --via ${via})`,
    );
  return { host, port, user: ownUser() };
}

/** Named after this device. */
function ownUser(): string {
  const device = hostname()
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-');
  return `tunnel-${device}`.slice(0, 32).replace(/-+$/, '');
}

/** Null where a person runs the script on the server. */
async function askForAdmin(server: string, { interactive, yes, ask }: Questions): Promise<TunnelSpec | null> {
  if (!interactive || yes) return null;
  const { userName } = await callersEnvironment();
  return await askFor(
    ask,
    'Your own login on the server, to set it up now (no: you get a script to run there)',
    `${userName}@${server}`,
    async (answer) => (/^no?$/i.test(answer) ? null : await administrator(answer)),
  );
}

/** What the configuration has of this tunnel already stands in for what was left open: its user, and ports that are `auto`. */
async function likeTheOldOne(file: string, tunnel: NewTunnel, userIsOpen: boolean): Promise<NewTunnel> {
  const old = (await tunnelsOf(file)).find(({ name }) => name === tunnel.name);
  if (old === undefined) return tunnel;
  const remotes = old.forwards.filter(({ kind }) => kind === 'remote');
  return {
    ...tunnel,
    user: userIsOpen ? old.user : tunnel.user,
    remoteForward: tunnel.remoteForward.map((forward, index) => {
      const listen = remotes[index]?.listen;
      return forwardPort(forward) === AUTO && listen?.type === 'tcp' ? withPort(forward, listen.port) : forward;
    }),
  };
}

/** The service may not write there, and it keeps further host keys of the server (updateHostKeys). */
export function isSystems(directory: string): boolean {
  return /^\/(?:usr\/local\/)?etc(?:\/|$)/.test(directory);
}

function checkName(name: string): string {
  if (TUNNEL_NAME.test(name)) return name;
  throw wrongUsage(`${JSON.stringify(name)} is not a name for a tunnel: use a-z, 0-9, - and _ (--name)`);
}

/** A tunnel is named after its server. */
export function nameOf(host: string): string {
  const name = host.toLowerCase().replaceAll(/[^a-z0-9_-]+/g, '-');
  return name.replaceAll(/^[-_]+|-+$/g, '') || 'tunnel';
}

/** Reads an argument; the message of what is wrong with it begins with its name. */
function named<T>(name: string, read: (text: string) => T, text: string): T {
  try {
    return read(text);
  } catch (error) {
    throw error instanceof BadValue ? wrongUsage(`${name} ${error.message}`) : error;
  }
}
