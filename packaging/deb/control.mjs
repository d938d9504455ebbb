import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/** Nobody answers for packages in public yet. */
export const MAINTAINER = 'The tunneld authors <tunneld@example.org>';

/** What dpkg and apt are to know of the package. Everything but Node is inside. */
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
 A daemon for the small computer behind somebody's router: it logs in to an
 SSH server, has that server listen on a port for it, and keeps this so,
 whatever happens to the network, the server or the service. It tells what it
 does, and what to do where it cannot.
 .
 Local and dynamic forwards, jumps and proxies work as well, and the command
 lines of ssh and autossh are understood.
`;
}

/** By which `dpkg --verify` sees what was changed. */
export function md5sums(tree) {
  const files = filesOf(tree).filter((file) => lstatSync(file).isFile());
  return files
    .map((file) => `${createHash('md5').update(readFileSync(file)).digest('hex')}  ${relative(tree, file)}\n`)
    .join('');
}

/** All but what is for dpkg alone. */
function filesOf(tree) {
  return readdirSync(tree, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !file.startsWith(join(tree, 'DEBIAN')))
    .toSorted();
}
