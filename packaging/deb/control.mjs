import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/** The packages have no public maintainer yet. */
export const MAINTAINER = 'The tunneld authors <tunneld@example.org>';

/** The control file for dpkg and apt. The package contains everything but Node.js. */
export function control(tree, { version, architecture }) {
  const kibibytes = filesOf(tree).reduce((sum, file) => sum + Math.ceil(lstatSync(file).size / 1024), 0);
  return `Package: tunneld
Version: ${version}
Architecture: ${architecture}
Maintainer: ${MAINTAINER}
Installed-Size: ${kibibytes}
Depends: nodejs (>= 20.19)
Recommends: iputils-ping | inetutils-ping
Section: net
Priority: optional
Description: keeps SSH reverse tunnels up
 A daemon for the small computer behind a home router: it logs in to an
 SSH server, has that server listen on a port for it, and keeps this so,
 whatever happens to the network, the server or the service. It reports what it
 does, and what to do where it cannot.
 .
 Local and dynamic forwards, jumps and proxies work as well, and the command
 lines of ssh and autossh are understood.
`;
}

/** Checksums for `dpkg --verify`. */
export function md5sums(tree) {
  const files = filesOf(tree).filter((file) => lstatSync(file).isFile());
  return files
    .map((file) => `${createHash('md5').update(readFileSync(file)).digest('hex')}  ${relative(tree, file)}\n`)
    .join('');
}

/** All files but those of dpkg. */
function filesOf(tree) {
  return readdirSync(tree, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !file.startsWith(join(tree, 'DEBIAN')))
    .toSorted();
}
