import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { EXIT } from '../src/lib/exit-code.ts';
import { formatStatus, PLAIN } from '../src/commands/text/status-text.ts';
import { parseConfig } from '../src/config/parse.ts';
import { systemEnvironment } from '../src/config/input/environment.ts';
import { fileSchema, servedKeys } from '../src/config/schema/schema.ts';
import { KEYWORD_NAMES } from '../src/config/ssh-config/keywords.ts';
import { SSH_FLAGS } from '../src/config/command-line/flags.ts';
import { REFUSED } from '../src/config/ssh-config/refused-options.ts';
import { HONOURED } from '../src/config/ssh-config/to-options.ts';
import { STEPS } from '../src/doctor/check.ts';
import { FAILURES } from '../src/model/failure.ts';
import { createProgram } from '../src/program/program.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (name: string) => readFileSync(join(root, name), 'utf8');
const PAPERS = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
/** A changelog tells what was. */
const CURRENT = PAPERS.filter((name) => name !== 'CHANGELOG.md');
const readme = read('README.md');
const commandLine = read('docs/command-line.md');
const program = createProgram([], () => {});

test('is short, and begins with the two commands that a fresh clone needs', () => {
  assert.ok(readme.split('\n').length <= 151, 'at most 150 lines');
  assert.deepEqual(commandsOf(readme).slice(0, 2), ['npm run demo', 'npm test']);
});

test('leads to every page of docs', () => {
  const linked = linksOf(readme).map(({ file }) => file);
  for (const page of PAPERS.filter((name) => name.startsWith('docs/'))) assert.ok(linked.includes(page), page);
});

test('links to files and headings that exist', () => {
  for (const paper of PAPERS)
    for (const { file, anchor } of linksOf(read(paper))) {
      const target = file === '' ? paper : normalize(join(dirname(paper), file));
      assert.ok(existsSync(join(root, target)), `${paper}: ${file}`);
      if (anchor !== '') assert.ok(anchorsOf(read(target)).includes(anchor), `${paper}: ${file}#${anchor}`);
    }
});

test('names files and scripts of the project that exist', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  for (const paper of CURRENT) {
    const text = read(paper);
    for (const [, file = ''] of text.matchAll(/[`\s]((?:src|test|packaging|systemd|launchd)\/[\w./-]*\w)/g))
      assert.ok(existsSync(join(root, file)) || file.includes('NAME'), `${paper}: ${file}`);
    for (const [, script = ''] of text.matchAll(/\bnpm run (?:-s )?([\w:]+)/g))
      assert.ok(script in scripts, `${paper}: npm run ${script}`);
  }
});

test('names commands and options of tunneld that exist', () => {
  let seen = 0;
  for (const paper of CURRENT)
    for (const line of [...commandsOf(read(paper)), ...codesOf(read(paper))])
      for (const [, name = '', rest = ''] of line.matchAll(
        /(?<!\S)tunneld (?:--config \S+ )?([a-z][a-z-]*)([^|&#>]*)/g,
      )) {
        if (name === 'help') continue;
        const command = program.commands.find((one) => one.name() === name);
        assert.ok(command !== undefined, `${paper}: ${line}`);
        seen += 1;
        // What follows `run` is ssh's.
        if (name === 'run') continue;
        const known = [...command.options, ...program.options].flatMap(({ short, long }) => [short, long]);
        for (const [, option] of rest.matchAll(/[\s[](--?[a-zA-Z][\w-]*)/g))
          assert.ok(known.includes(option), `${paper}: ${option} in: ${line}`);
      }
  assert.ok(seen > 60, String(seen));
});

test('has every command with every option, and every exit code, in docs/commands.md', () => {
  const page = read('docs/commands.md');
  for (const command of program.commands) {
    const rows = page.split('\n').filter((line) => line.startsWith(`| \`tunneld ${command.name()}`));
    assert.ok(rows.length > 0, command.name());
    for (const { short, long } of command.options)
      for (const option of [short, long])
        if (option !== undefined) assert.ok(rows.join('\n').includes(option), `${command.name()} ${option}`);
  }
  const codes = [...page.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));
  assert.deepEqual(codes, Object.values(EXIT));
  const inReadme = /^Exit codes: ([^[]*)/ms.exec(readme)?.[1] ?? '';
  assert.deepEqual(
    [...inReadme.matchAll(/(?:^|· |·\n)(\d+) /g)].map(([, code]) => Number(code)),
    Object.values(EXIT),
  );
});

test('explains every key of status --json in docs/commands.md', () => {
  const interfaces = [
    ...read('src/status/document.ts').matchAll(/^export interface \w+(?:Document|Status|Tunnel) \{\n(.*?)^\}/gms),
  ];
  const keys = interfaces.flatMap(([, body = '']) =>
    [...body.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, key]) => key!),
  );
  assert.ok(keys.length > 40);
  const explained = section(read('docs/commands.md'), '`status --json`');
  for (const key of keys) assert.ok(explained.includes(`\`${key}\``), key);
});

test('shows the status that tunneld prints', () => {
  const now = Date.UTC(2030, 0, 1);
  const ago = (seconds: number) => new Date(now - seconds * 1000).toISOString();
  const counters = {
    connections: 0,
    totalConnections: 0,
    refusedConnections: 0,
    cutConnections: 0,
    bytesIn: 0,
    bytesOut: 0,
  };
  const printed = formatStatus(
    {
      now: ago(0),
      version: '0.1.0',
      pid: 1011,
      startedAt: ago(7),
      health: 'ok',
      config: '/etc/tunneld/config.yaml',
      tunnels: [
        {
          name: 'backup',
          phase: 'up',
          health: 'ok',
          since: ago(6),
          server: 'tunnel-pi@something.dedyn.io:22',
          attempts: 0,
          rttMs: 115.2,
          forwards: [
            {
              kind: 'remote',
              listen: 'localhost:8080',
              target: 'localhost:22',
              state: 'up',
              verified: 'yes',
              ...counters,
            },
          ],
        },
      ],
    },
    PLAIN,
  ).join('\n');
  assert.ok(readme.includes(`\`\`\`\n${printed}\n\`\`\`\n`), printed);
});

test('shows configurations that are valid', async () => {
  const configs = PAPERS.flatMap((paper) => yamlOf(read(paper)).map((text) => ({ paper, text })));
  assert.ok(configs.length >= 3);
  for (const { paper, text } of configs) {
    const whole = /^(?:tunnels|defaults):/m.test(text)
      ? text
      : `tunnels:\n  a:\n    host: b\n${text.replace(/^/gm, '    ')}`;
    assert.notEqual(parse(whole), null, paper);
    const config = await parseConfig(whole, '/etc/tunneld/config.yaml', systemEnvironment());
    assert.ok(config.tunnels.length > 0, paper);
  }
  const config = await parseConfig(yamlOf(readme)[0] ?? '', '/etc/tunneld/config.yaml', systemEnvironment());
  assert.deepEqual(
    config.tunnels.map(({ name, host, forwards }) => [name, host, forwards.length]),
    [['backup', 'something.dedyn.io', 1]],
  );
});

test('lists every key and no other in docs/configuration.md', () => {
  const place = { home: '/', env: {}, directory: '/', aes: true };
  const page = read('docs/configuration.md');
  const keysUnder = (heading: string) =>
    [...section(page, heading).matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell = '']) =>
      [...cell.matchAll(/`([\w.]+)`/g)].map(([, key]) => key!),
    );
  assert.deepEqual(keysUnder('Keys of a tunnel').toSorted(), Object.keys(servedKeys(place)).toSorted());
  const top = new Set(keysUnder('Keys of the file').map((key) => key.replace(/\..*/, '')));
  assert.deepEqual([...top].toSorted(), Object.keys(fileSchema(place).shape).toSorted());
});

test('explains every failure code and every step of doctor, and no other', () => {
  const page = read('docs/troubleshooting.md');
  const explained = (heading: string) =>
    [...section(page, heading).matchAll(/^\| `([\w -]+)` \|/gm)].map(([, name]) => name);
  assert.deepEqual(explained('The codes'), Object.keys(FAILURES));
  assert.deepEqual(explained('The steps of doctor'), [...STEPS]);
});

test('says of every option of ssh what becomes of it in docs/command-line.md', () => {
  const expected = {
    option: 'as in ssh',
    implied: 'the default behaviour of tunneld',
    idle: 'accepted without effect',
    refused: 'refused',
  };
  for (const [letter, { use }] of Object.entries(SSH_FLAGS)) {
    const row = new RegExp(`^\\|[^|]*\`-${letter}\`[^|]*\\| (.*) \\|$`, 'm').exec(commandLine)?.[1] ?? '';
    const meaning =
      use.type === 'own' ? (use.what === 'monitor' ? expected.idle : expected.option) : expected[use.type];
    assert.ok(row.startsWith(meaning), `-${letter}: ${row}`);
  }
});

test('says of every option of ssh_config what becomes of it in docs/command-line.md', () => {
  const [, honoured = '', refused = '', idle = ''] =
    /^Honoured, (.*?)^Refused (.*?)^Accepted without effect, (.*)/ms.exec(commandLine) ?? [];
  const blocks = ['host', 'match', 'include'];
  assert.ok(KEYWORD_NAMES.length > 90);
  for (const name of KEYWORD_NAMES) {
    const key = name.toLowerCase();
    const served = HONOURED.has(key) || blocks.includes(key);
    const place = served ? honoured : REFUSED.has(key) ? refused : idle;
    for (const text of [honoured, refused, idle])
      if (text === place || name !== 'Match') assert.equal(text.includes(`\`${name}\``), text === place, name);
  }
});

/** Relative links, without those of code. */
function linksOf(text: string): { file: string; anchor: string }[] {
  return [...text.replace(/^```.*?^```/gms, '').matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => ({ file: target.replace(/#.*/, ''), anchor: /#(.*)/.exec(target)?.[1] ?? '' }));
}

/** As GitHub makes them of headings. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** The lines of all blocks for a shell; one that goes on in the next is one. */
function commandsOf(text: string): string[] {
  return [...text.matchAll(/^```sh\n(.*?)^```/gms)]
    .flatMap(([, block = '']) => block.replaceAll(/\\\n\s*/g, '').split('\n'))
    .map((line) => line.replace(/(?:^| +)#.*/, ''))
    .filter((line) => line !== '');
}

/** Code within sentences. */
function codesOf(text: string): string[] {
  return [...text.replace(/^```.*?^```/gms, '').matchAll(/`([^`]+)`/g)].map(([, code = '']) =>
    code.replaceAll('\n', ' '),
  );
}

function yamlOf(text: string): string[] {
  return [...text.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, yaml = '']) => yaml);
}

function section(text: string, heading: string): string {
  return new RegExp(`^## ${heading}\n(.*?)(?=^## |(?![\\s\\S]))`, 'ms').exec(text)?.[1] ?? '';
}
