import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** ArrayBuffer.prototype.transfer (ES2024). */
type Transfer = (this: ArrayBufferLike, bytes: number) => ArrayBuffer;

let transfer: Transfer | null | undefined;

/**
 * Frees the memory of bytes that nobody needs any more, where they are all of their ArrayBuffer, which has none from then on. V8 collects
 * such garbage when there are 32 MiB of it, and until then each new buffer is memory that no cache of the processor has.
 */
export function freeBuffer({ buffer, byteLength }: Uint8Array): void {
  if (transfer === undefined) transfer = findTransfer();
  if (transfer !== null && buffer.byteLength === byteLength) transfer.call(buffer, 0);
}

/** Node.js 20 has it behind a flag of V8. Null where there is none. */
function findTransfer(): Transfer | null {
  const { transfer: own } = ArrayBuffer.prototype as { transfer?: Transfer };
  if (own !== undefined) return own;
  setFlagsFromString(`--${FLAG}`);
  const found = runInNewContext('ArrayBuffer.prototype.transfer') as Transfer | undefined;
  // As before: what is compiled already is for those flags (v8.cachedDataVersionTag()).
  setFlagsFromString(`--no-${FLAG}`);
  return found ?? null;
}

const FLAG = 'harmony-rab-gsab-transfer';
