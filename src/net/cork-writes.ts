import type { Writable } from 'node:stream';

/** A function to call before each write: all that is written within one tick goes out in one system call. */
export function gatherWrites(socket: Writable): () => void {
  let gathering = false;
  const release = () => {
    gathering = false;
    socket.uncork();
  };
  return () => {
    if (gathering) return;
    gathering = true;
    socket.cork();
    process.nextTick(release);
  };
}
