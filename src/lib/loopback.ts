/** Whether it is an address of the loopback network (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3), also one of IPv4 in IPv6. */
export function isLoopbackAddress(address: string): boolean {
  return address === '::1' || /^(?:::ffff:)?127\./i.test(address);
}
