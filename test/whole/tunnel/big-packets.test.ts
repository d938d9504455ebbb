import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { startSshd } from '../../support/sshd.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { freePort, tempDir } from '../../support/until.ts';

describe('comes up when the server sends a banner of 200 kB in one packet', { concurrency: 2 }, () => {
  for (const [cipher, mac] of [
    ['aes128-gcm@openssh.com', null],
    ['chacha20-poly1305@openssh.com', null],
    ['aes128-ctr', 'hmac-sha2-256'],
    ['aes128-ctr', 'hmac-sha2-256-etm@openssh.com'],
    ['aes128-cbc', 'hmac-sha2-256'],
  ] as const) {
    test([cipher, mac].join(' '), async (t) => {
      const banner = join(await tempDir(t), 'banner');
      writeFileSync(banner, 'a word from our lawyers\n'.repeat(8400));
      const sshd = await startSshd({ config: [`Banner ${banner}`, `Ciphers ${cipher}`] });
      t.after(() => sshd.stop());
      const spec = specFor(sshd, [[await freePort(), 1]], { ciphers: [cipher], macs: mac === null ? null : [mac] });
      const tunnel = startTunnel(t, spec);
      await tunnel.untilPhase('up');
      const told = tunnel.lines.flatMap(({ banner: text }) => (typeof text === 'string' ? [text] : []));
      assert.deepEqual(
        told.map((text) => text.slice(0, 23)),
        ['a word from our lawyers'],
      );
      assert.ok((told[0] ?? '').length < 4000);
    });
  }
});
