/** The keys of one direction, as both sides derive them (RFC 4253 section 7.2). */
export interface Keys {
  /** OpenSSL's name: aes-128-gcm, aes-256-gcm, chacha20. */
  readonly cipher: string;
  readonly key: Buffer;
  /** AES-GCM's first one (RFC 5647); empty for ChaCha20, whose nonce is the sequence number. */
  readonly iv: Buffer;
  /** The number of the next packet. */
  readonly sequence: number;
}

/** What a packet has beside its payload, at most: length, length of the padding, padding, tag. */
export const OVERHEAD = 4 + 1 + 19 + 16;

/** SSH_MSG_CHANNEL_DATA (RFC 4254 section 5.2), and what it has before its data: its number, the channel, the length. */
export const CHANNEL_DATA = 94;
export const DATA_HEADER = 9;

/** The most data of a packet: a server may name any size, but no packet is larger than 256 KiB (OpenSSH's PACKET_MAX_SIZE). */
export const LARGEST_DATA = 128 * 1024;
