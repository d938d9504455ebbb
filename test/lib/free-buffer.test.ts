import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cachedDataVersionTag } from 'node:v8';
import { freeBuffer } from '../../src/lib/free-buffer.ts';

test('frees the memory of bytes that are all of it, and nothing else', () => {
  const all = Buffer.allocUnsafeSlow(1000);
  freeBuffer(all);
  assert.deepEqual([all.length, all.buffer.byteLength], [0, 0]);
  const memory = Buffer.allocUnsafeSlow(1000);
  freeBuffer(memory.subarray(1));
  freeBuffer(memory.subarray(0, 999));
  assert.equal(memory.length, 1000);
  freeBuffer(Buffer.alloc(0));
});

test('leaves the flags of V8 as they were, so that what is compiled already is still for them', () => {
  const before = cachedDataVersionTag();
  freeBuffer(Buffer.allocUnsafeSlow(1));
  assert.equal(cachedDataVersionTag(), before);
});
