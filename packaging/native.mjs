// Builds the addon (packaging/native/*.c) for every processor, with Debian's compilers: `node packaging/native.mjs [--check] [ARCH...]`.
// What it writes is committed, so that neither a user nor the build of a release needs a compiler. It is the same, byte by byte, wherever the
// compiler is of the same version: with --check that is compared.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { include_dir as headers } from 'node-api-headers';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const folder = fileURLToPath(new URL('native', import.meta.url));
const prebuilt = join(folder, 'prebuilt');

/** By Node's names. Their Debian packages are gcc, gcc-aarch64-linux-gnu and gcc-arm-linux-gnueabihf. */
const COMPILERS = {
  x64: ['x86_64-linux-gnu-gcc'],
  arm64: ['aarch64-linux-gnu-gcc'],
  arm: ['arm-linux-gnueabihf-gcc', '-march=armv6', '-mfpu=vfp', '-marm'], // the oldest Raspberry Pi
};

/** In the order in which they are linked: another one makes other bytes. */
const SOURCES = ['module.c', 'memory.c', 'network.c', 'packets.c', 'poll.c', 'send.c', 'timer.c'];

const FLAGS = [
  '-std=gnu11 -O2 -Wall -Wextra -Wconversion -Werror -fvisibility=hidden -ffile-prefix-map=.=native',
  // No C library is named: what the addon calls of it, Node has loaded, be it glibc or musl.
  '-shared -fPIC -nostdlib -fno-stack-protector -U_FORTIFY_SOURCE -fno-asynchronous-unwind-tables',
  '-Wl,-z,now,-z,relro,-z,noexecstack,-z,noseparate-code,--build-id=none,--strip-all,--hash-style=gnu',
].flatMap((line) => line.split(' '));

const { values, positionals } = parseArgs({
  options: { check: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const archs = positionals.length > 0 ? positionals : Object.keys(COMPILERS);
const out = values.check ? mkdtempSync(join(tmpdir(), 'tunneld-native-')) : prebuilt;
mkdirSync(out, { recursive: true });
for (const arch of archs) compile(arch, join(out, nameOf(arch)));
if (values.check) {
  const different = archs.filter((arch) => sumOf(join(out, nameOf(arch))) !== sumOf(join(prebuilt, nameOf(arch))));
  rmSync(out, { recursive: true });
  if (different.length > 0) {
    process.stderr.write(`not as committed: ${different.join(', ')} (${versionOf(different[0])})\n`);
    process.exitCode = 1;
  }
} else {
  // Those of the sources as well: what was built from others is noticed by a test.
  const sources = readdirSync(folder).filter((name) => /\.[ch]$/.test(name));
  const built = readdirSync(prebuilt).filter((name) => name.endsWith('.node'));
  const files = [...sources.map((name) => `../${name}`), ...built];
  writeFileSync(
    join(prebuilt, 'SHA256SUMS'),
    files.map((name) => `${sumOf(join(prebuilt, name))}  ${name}\n`).join(''),
  );
}

function compile(arch, file) {
  const [compiler, ...flags] = COMPILERS[arch];
  execFileSync(compiler, [...FLAGS, ...flags, '-isystem', headers, '-o', file, ...SOURCES], {
    cwd: folder,
    stdio: 'inherit',
  });
}

function nameOf(arch) {
  return `linux-${arch}.node`;
}

function sumOf(file) {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

function versionOf(arch) {
  return execFileSync(COMPILERS[arch][0], ['--version'], { encoding: 'utf8' }).split('\n')[0];
}
