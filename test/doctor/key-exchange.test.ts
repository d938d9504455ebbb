import assert from 'node:assert/strict';
import { test } from 'node:test';
import { algorithmsStep } from '../../src/doctor/key-exchange.ts';

const ANY = { kexAlgorithms: null };

test('says nothing of a key exchange that withstands quantum computers', () => {
  for (const name of ['mlkem768x25519-sha256', 'sntrup761x25519-sha512', 'sntrup761x25519-sha512@openssh.com'])
    assert.deepEqual(algorithmsStep(`${name}, ssh-ed25519`, name, 'OpenSSH_9.2', ANY), [
      'algorithms',
      'ok',
      `${name}, ssh-ed25519`,
    ]);
});

test('advises what the server, or the configuration here, would need for one', () => {
  const cureFor = (software: string, spec: { readonly kexAlgorithms: readonly string[] | null } = ANY) => {
    const [, result, seen, cure] = algorithmsStep('agreed', 'curve25519-sha256', software, spec);
    assert.equal(result, 'warn');
    assert.match(seen, /^agreed; a quantum computer could decrypt/);
    return cure ?? '';
  };
  assert.match(cureFor('OpenSSH_8.4p1 Debian-5'), /^Update the server's OpenSSH 8\.4 to 9\.0/);
  assert.match(cureFor('OpenSSH_for_Windows_8.1'), /^Update the server's OpenSSH 8\.1/);
  assert.match(cureFor('OpenSSH_8.9p1 Ubuntu-3'), /sshd_config: KexAlgorithms \+sntrup761x25519-sha512@openssh\.com$/);
  assert.match(cureFor('OpenSSH_10.0p2'), /^Add sntrup761x25519-sha512@openssh\.com .* leaves it out/);
  assert.match(cureFor('dropbear_2022.83'), /^Update the server \(dropbear_2022\.83\): .* Dropbear since 2025/);
  assert.match(cureFor(''), /^Update the server: /);
  const narrow = { kexAlgorithms: ['curve25519-sha256'] };
  assert.match(cureFor('OpenSSH_10.0p2', narrow), /^Remove kexAlgorithms here/);
});
