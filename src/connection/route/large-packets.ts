import { TunnelFailure } from '../../model/failure.ts';

/** Observations of a connection whose handshake has stalled. */
export interface Stall {
  /** The server has sent its identification, a small packet. */
  readonly identified: boolean;
  /** Bytes of ours that the server's system has not acknowledged; null where this system does not report it. */
  readonly unacknowledged: number | null;
  /** Milliseconds since the last byte came. */
  readonly silentMs: number;
}

/**
 * Names a path that passes small packets and silently drops large ones (an MTU black hole, RFC 2923 section 2.1), where
 * that is the likely reason: the key exchange has the first large packets. Unacknowledged packets show it, where the
 * first ones were acknowledged; silence after the identification may have another reason, such as a server that hangs.
 */
export function nameLostPackets(
  failure: TunnelFailure,
  { identified, unacknowledged, silentMs }: Stall,
): TunnelFailure {
  if (!identified || silentMs < SILENT_MS) return failure;
  const seen =
    (unacknowledged ?? 0) >= LARGE
      ? `${unacknowledged} bytes sent are not acknowledged, though small packets were: the path most likely loses large ones`
      : 'the server identified itself and fell silent: it hangs, or the path loses large packets';
  return new TunnelFailure(failure.code, `${failure.message}; ${seen}`, { cause: failure, hint: HINT });
}

/** TCP has retransmitted three times by then. */
const SILENT_MS = 3000;

/** A small packet is acknowledged long before; a key exchange begins with more bytes. */
const LARGE = 500;

const HINT =
  "The path loses large packets (an MTU black hole, as behind a VPN or PPPoE). Run `sysctl -w net.ipv4.tcp_mtu_probing=1` here and on the server, or give the interface a smaller MTU (`ip link set dev eth0 mtu 1280`), or have the router clamp it (iptables, TCPMSS --clamp-mss-to-pmtu). If another client connects over the same path, read the server's log instead.";
