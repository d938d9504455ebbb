import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { debianChangelog } from './changelog.mjs';
import { packagedUnit } from './unit.mjs';

/** Lays all files out as in the package, from a finished `dist`. */
export function stageFiles(tree, { root, dist, version, date }) {
  const source = (name) => readFileSync(join(root, name), 'utf8');
  const built = (name) => readFileSync(join(dist, name), 'utf8');
  const put = (name, content) => {
    mkdirSync(dirname(join(tree, name)), { recursive: true });
    writeFileSync(join(tree, name), content);
  };
  const compressed = (text) => gzipSync(text, { level: 9 });

  // The path has no version: a running daemon does not need the files it was started from.
  for (const name of ['chunks', 'native', 'page', 'package.json', 'tunneld.schema.json'])
    cpSync(join(dist, name), join(tree, 'usr/lib/tunneld', name), { recursive: true });
  for (const name of ['cli.js', 'make-code-cache.js']) put(`usr/lib/tunneld/${name}`, withDebiansNode(built(name)));
  mkdirSync(join(tree, 'usr/bin'));
  symlinkSync('../lib/tunneld/cli.js', join(tree, 'usr/bin/tunneld'));
  put('usr/lib/systemd/system/tunnel.service', packagedUnit(source('systemd/tunnel.service')));

  put('usr/share/man/man1/tunneld.1.gz', compressed(built('man/tunneld.1')));
  put('usr/share/man/man5/tunneld.yaml.5.gz', compressed(built('man/tunneld.yaml.5')));
  put('usr/share/bash-completion/completions/tunneld', built('completions/tunneld.bash'));
  put('usr/share/zsh/vendor-completions/_tunneld', built('completions/_tunneld'));
  put('usr/share/fish/vendor_completions.d/tunneld.fish', built('completions/tunneld.fish'));

  put('usr/share/doc/tunneld/config.example.yaml', source('config.example.yaml'));
  const docs = readdirSync(join(root, 'docs'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
  const isText = (name) => name.endsWith('.md');
  for (const name of ['README.md', 'SECURITY.md', ...docs.filter(isText)])
    put(`usr/share/doc/tunneld/${name}.gz`, compressed(source(name)));
  for (const name of docs.filter((file) => !isText(file)))
    put(`usr/share/doc/tunneld/${name}`, readFileSync(join(root, name)));
  put('usr/share/doc/tunneld/copyright', `${source('LICENSE')}\n${LINE}\n\n${built('THIRD-PARTY-LICENSES.txt')}`);
  put('usr/share/doc/tunneld/changelog.gz', compressed(debianChangelog(source('CHANGELOG.md'), { version, date })));

  const scripts = join(root, 'packaging/deb/scripts');
  for (const name of readdirSync(scripts)) put(`DEBIAN/${name}`, readFileSync(join(scripts, name)));
}

const LINE = `${'-'.repeat(80)}\nThe program includes parts of these packages:`;

/** The node of the package's dependency, and not another one in /usr/local. */
function withDebiansNode(program) {
  const changed = program.replace(/^#!\/usr\/bin\/env -S node /, '#!/usr/bin/env -S /usr/bin/node ');
  if (changed === program) throw new Error('a program does not begin as expected');
  return changed;
}
