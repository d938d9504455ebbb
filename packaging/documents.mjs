// Writes the manual pages, the shells' completions and the JSON Schema of configurations: `node packaging/documents.mjs [--outdir DIR] [--version VERSION]`.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bashCompletion } from './completions/bash.mjs';
import { fishCompletion } from './completions/fish.mjs';
import { zshCompletion } from './completions/zsh.mjs';
import { describeConfiguration } from './describe-configuration.mjs';
import { describeProgram } from './describe-program.mjs';
import { configurationPage } from './documents/configuration-page.mjs';
import { programPage } from './documents/program-page.mjs';
import { sourceDate } from './source-date.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const { values: flags } = parseArgs({
  options: { outdir: { type: 'string', default: join(root, 'dist') }, version: { type: 'string', default: version } },
});

const program = await describeProgram();
const { options, schema } = await describeConfiguration();
const edition = { version: flags.version, date: sourceDate(root).toISOString().slice(0, 10) };
const documents = {
  'man/tunneld.1': await programPage(program, edition),
  'man/tunneld.yaml.5': configurationPage(readFileSync(join(root, 'config.example.yaml'), 'utf8'), options, edition),
  'tunneld.schema.json': `${JSON.stringify(schema, null, 1)}\n`,
  'completions/tunneld.bash': bashCompletion(program),
  'completions/_tunneld': zshCompletion(program),
  'completions/tunneld.fish': fishCompletion(program),
};
for (const [name, text] of Object.entries(documents)) {
  const file = join(flags.outdir, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}
