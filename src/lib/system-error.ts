import { getSystemErrorName } from 'node:util';

/** The error of a system call, as Node.js makes them; `errno` is below 0. */
export function systemError(syscall: string, errno: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(errno);
  return Object.assign(new Error(`${syscall} ${code}`), { errno, code, syscall });
}
