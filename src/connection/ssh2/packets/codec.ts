import type { DataToSeal } from '../../../lib/addon.ts';

/**
 * Seals and opens SSH packets (RFC 4253 section 6) in place, many in one call. Offsets and lengths are bytes of `memory`.
 */
export interface Sealer {
  /** Seals the payload of `length` bytes at `at` + 5; returns where the packet ends. */
  seal(memory: Buffer, at: number, length: number): number;
  /**
   * Seals the bytes of `from` between `start` and `end` as CHANNEL_DATA of at most `largest` bytes each; returns where the packets
   * end. `memory` has room for OVERHEAD and DATA_HEADER beside the data of each.
   */
  sealData(...data: DataToSeal): number;
  /** Forgets the key. */
  close(): void;
}

export interface Opener {
  /**
   * Opens the whole packets between `from` and `to`, up to the first that is no CHANNEL_DATA, and this one too. Returns how many;
   * `table` then has where it stopped, and start and length of each payload, or, where there is none, the bytes of the packet that is
   * not whole: 0 where they are not known. Throws where the next packet is wrong: those before it have been returned.
   */
  open(memory: Buffer, from: number, to: number, table: Uint32Array): number;
  /** Forgets the key. */
  close(): void;
}

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
