import type { Writable } from 'node:stream';

/** Makes a function to call before each write: everything written within one tick leaves in one system call. */
export function corkWrites(socket: Writable): () => void {
  let corked = false;
  const uncork = () => {
    corked = false;
    socket.uncork();
  };
  return () => {
    if (corked) return;
    corked = true;
    socket.cork();
    process.nextTick(uncork);
  };
}
