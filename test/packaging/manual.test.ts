import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { EXIT } from '../../src/lib/exit-code.ts';
import { fileSchema, servedKeys } from '../../src/config/schema/schema.ts';
import { SSH_FLAGS } from '../../src/config/command-line/flags.ts';
import { createProgram } from '../../src/program/program.ts';
import { FAILURES } from '../../src/model/failure.ts';
import { OPTIONS } from '../../src/model/options.ts';
import { makeDocuments } from './make-documents.ts';

const src = fileURLToPath(new URL('../../src', import.meta.url));
const place = { home: '/', env: {}, directory: '/', aes: true };

test('has every command, option, exit code and failure in tunneld(1)', async (t) => {
  const page = plain(readFileSync(join(await makeDocuments(t), 'man/tunneld.1'), 'utf8'));
  const program = createProgram([], () => {});
  const section = (name: string) => new RegExp(`^\\.SH ${name}\n(.*?)^\\.SH`, 'ms').exec(page)?.[1] ?? '';
  for (const { flags } of program.options) for (const name of names(flags)) assert.match(section('OPTIONS'), name);
  assert.ok(program.commands.length > 10);
  for (const command of program.commands) {
    const text = new RegExp(`^\\.SS <tunneld ${command.name()}>(.*?)^\\.S[SH]`, 'ms').exec(page)?.[1];
    assert.ok(text !== undefined, command.name());
    for (const { flags } of command.options) for (const name of names(flags)) assert.match(text, name);
  }
  const codes = [...section('EXIT STATUS').matchAll(/^\.B (\d+)$/gm)].map(([, code]) => Number(code));
  assert.deepEqual(codes, Object.values(EXIT));
  for (const code of Object.keys(FAILURES)) assert.match(section('FAILURES'), new RegExp(`^<${code}>$`, 'm'));
  for (const letter of Object.keys(SSH_FLAGS)) assert.ok(section('OPTIONS OF SSH').includes(`<-${letter}>`), letter);
});

test('has every variable of the environment that the program reads in tunneld(1)', async (t) => {
  const page = readFileSync(join(await makeDocuments(t), 'man/tunneld.1'), 'utf8');
  const listed = /^\.SH ENVIRONMENT\n(.*?)^\.SH/ms.exec(page)?.[1] ?? '';
  const used = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => [...readFileSync(join(src, file), 'utf8').matchAll(/\benv\['([A-Z_]+)'\]/g)])
    .map(([, name]) => name!);
  assert.ok(used.length > 10);
  const everywhere = ['PATH', 'USER'];
  for (const name of used.filter((name) => !everywhere.includes(name)))
    assert.match(listed, new RegExp(`\\b${name}\\b`));
});

test('has every key in tunneld.yaml(5)', async (t) => {
  const page = plain(readFileSync(join(await makeDocuments(t), 'man/tunneld.yaml.5'), 'utf8'));
  const keys = [...Object.keys(servedKeys(place)), ...Object.keys(fileSchema(place).shape)];
  assert.ok(keys.length > 35);
  for (const key of keys) assert.match(page, new RegExp(`(?:^\\.BI? |<)${key}:`, 'm'));
  const [, list = ''] = /^\.SH ALL KEYS OF A TUNNEL\n(.*?)^\.SH/ms.exec(page) ?? [];
  assert.deepEqual(
    [...list.matchAll(/^\.TP\n<(\w+)>$/gm)].map(([, key]) => key),
    Object.keys(OPTIONS),
  );
});

test('has no fault when mandoc reads it', async (t) => {
  const folder = join(await makeDocuments(t), 'man');
  for (const file of ['tunneld.1', 'tunneld.yaml.5']) {
    const { status, stdout, stderr } = spawnSync('mandoc', ['-T', 'lint', join(folder, file)], { encoding: 'utf8' });
    assert.deepEqual([status, stdout, stderr], [0, '', '']);
  }
});

/** As it is read, with <> around what is bold. */
function plain(page: string): string {
  return page.replaceAll('\\-', '-').replaceAll('\\fB', '<').replaceAll('\\fR', '>');
}

/** How each name of an option is found, `-n, --lines <number>`. */
function names(flags: string): RegExp[] {
  return flags
    .split(/[ ,]+/)
    .filter((part) => part.startsWith('-'))
    .map((name) => new RegExp(`<${name}>`));
}
