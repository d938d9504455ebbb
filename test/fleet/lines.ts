const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIK/X7oTrGab1v2eGMiIi7Komz1hcckjDWErvXg264t5';

/** A line of authorized_keys with these options. */
export function keyedLine(options: string, comment: string): string {
  return `restrict,port-forwarding${options === '' ? '' : `,${options}`},command="false" ${KEY} ${comment}`.trimEnd();
}
