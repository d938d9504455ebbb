import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** Who may ask for the time of day, and what for. Elapsed time is measured by nobody with it: on a Pi it is set after the boot. */
const ALLOWED: Readonly<Record<string, string>> = {
  'clock.ts': 'is the clock',
  'login.ts': 'whether a certificate is valid',
  'certificate.ts': 'the same, for people',
  'control-handlers.ts': 'shows monotonic times to people, at one moment',
  'this-device.ts': 'the day on which a listener was had',
  'active-config.ts': 'the same, for the end of a trial',
  'document.ts': 'the document and its reader, of a daemon from before an upgrade',
  'status-text.ts': 'the same',
  'history.ts': 'the times of outages, for people',
  'writer.ts': 'the same',
  'time.ts': 'shows a time of a document',
  'history-text.ts': 'the same',
  'on-change.ts': 'since when, for people',
  'serve.ts': 'the day of an eviction',
  'host-key-verifier.ts': 'whether a certificate is valid',
  'host-certificate.ts': 'the same, for people',
  'watch-certificate.ts': 'whether a certificate of the user is valid',
  'check-login.ts': 'the same',
  'trust-host-key.ts': 'the same',
  'login-keys.ts': 'the same',
  'local-needs.ts': 'the age of files',
  'local-time.ts': 'shows a time',
  'format.ts': 'the times of the log',
  'watchdog-thread.ts': 'a line of the log',
  'check-device.ts': 'whether the clock is set',
  'doctor.ts': 'the same',
  'stream.ts': 'when the history was read, for the page',
  'page.ts': 'shows times in a browser, whose clock tells no duration',
  'past.ts': 'the days of the calendar',
  'bugreport.ts': 'the time of the report, for people',
  'facts.ts': "times of a server's log",
  'assess.ts': 'the same, for people',
  'host-keys.ts': 'the same',
  'survey.ts': 'the time of a document',
};

test('finds the time of day asked for only by those who show it', () => {
  const src = fileURLToPath(new URL('../src/', import.meta.url));
  const asking = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .filter((file) => /\bwall\(\)|\.wall\b|\bDate\.now\b|\bnew Date\(/.test(readFileSync(join(src, file), 'utf8')))
    .filter((file) => ALLOWED[basename(file)] === undefined);
  assert.deepEqual(asking, []);
});
