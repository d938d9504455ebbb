import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cookieOf, judge } from '../../src/http/access.ts';

const TOKEN = 'a-token-of-more-than-20-characters';
const OWN = { socket: false, token: null };
const SOCKET = { socket: true, token: null };
const OPEN = { socket: false, token: TOKEN };
const LOCAL = { host: 'localhost:9180' };

const rows: readonly [string, Parameters<typeof judge>[0], Parameters<typeof judge>[1], number | null][] = [
  ['a client of this device', LOCAL, OWN, null],
  ['one by IPv4', { host: '127.0.0.1:9180' }, OWN, null],
  ['one by IPv6', { host: '[::1]:9180' }, OWN, null],
  ['one through a forwarded port', { host: 'localhost:1' }, OWN, null],
  ['a name that was made to lead here', { host: 'evil.example:9180' }, OWN, 403],
  ['a name that begins like this device', { host: 'localhost.evil.example' }, OWN, 403],
  ['a number that is no loopback address', { host: '127.0.0.1.evil.example' }, OWN, 403],
  ['no name', {}, OWN, 403],
  ['a user in the name', { host: 'localhost@evil.example' }, OWN, 403],
  ['a user before the name', { host: 'localhost:1@evil.example' }, OWN, 403],
  ['an IPv6 address of another device', { host: '[2001:db8::1]:9180' }, OWN, 403],
  ['IPv4 in IPv6', { host: '[::ffff:127.0.0.1]' }, OWN, null],
  ['a bracket that is not closed', { host: '[::1:9180' }, OWN, 403],
  ['a port that is none', { host: 'localhost:port' }, OWN, 403],
  ['two names', { host: 'localhost, evil.example' }, OWN, 403],
  ['a page of its own', { ...LOCAL, origin: 'http://localhost:9180', 'sec-fetch-site': 'same-origin' }, OWN, null],
  ['a page of another origin', { ...LOCAL, origin: 'http://evil.example' }, OWN, 403],
  ['a page of another port', { ...LOCAL, origin: 'http://localhost:80' }, OWN, 403],
  ['a sandboxed page', { ...LOCAL, origin: 'null' }, OWN, 403],
  ['an image on another page', { ...LOCAL, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }, OWN, 403],
  ['a link on another page', { ...LOCAL, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }, OWN, null],
  ['a client of the socket', { host: 'anything' }, SOCKET, null],
  ['a client of the socket without a name', {}, SOCKET, null],
  ['a name of the DNS that was made to lead to the socket', { host: 'evil.example:9180' }, SOCKET, 403],
  ['a page of another origin at the socket', { ...LOCAL, origin: 'http://evil.example' }, SOCKET, 403],
  ['a client of the socket without its token', LOCAL, { socket: true, token: TOKEN }, 401],
  ['no token', { host: '192.0.2.1:9180' }, OPEN, 401],
  ['another token', { host: '192.0.2.1:9180', authorization: 'Bearer wrong' }, OPEN, 401],
  ['the beginning of the token', { host: 'x', authorization: `Bearer ${TOKEN.slice(0, -1)}` }, OPEN, 401],
  ['an empty token', { host: 'x', authorization: 'Bearer ' }, OPEN, 401],
  ['the token', { host: '192.0.2.1:9180', authorization: `Bearer ${TOKEN}` }, OPEN, null],
  ['the token in another case of its scheme', { host: 'x', authorization: `bearer ${TOKEN}` }, OPEN, null],
  ['the cookie', { host: 'x', cookie: `a=b; ${cookieOf(TOKEN)}` }, OPEN, null],
  [
    'the cookies of daemons at other ports',
    { host: 'x', cookie: `${cookieOf('other')}; tunneld=x; ${cookieOf(TOKEN)}` },
    OPEN,
    null,
  ],
  ['the token as a cookie', { host: 'x', cookie: `${cookieOf(TOKEN).split('=')[0]}=${TOKEN}` }, OPEN, 401],
  ['the cookie of another token', { host: 'x', cookie: cookieOf('another') }, OPEN, 401],
];
for (const [who, headers, policy, status] of rows)
  test(`${status === null ? 'answers' : `refuses with ${status}`} ${who}`, () => {
    assert.equal(judge(headers, policy)?.status ?? null, status);
  });

test('does not show the token when the cookie is known', () => {
  assert.ok(!cookieOf(TOKEN).includes(TOKEN));
});
