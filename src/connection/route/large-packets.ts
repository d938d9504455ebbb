import { TunnelFailure } from '../../model/failure.ts';

/** What can be seen of a connection on which a handshake has come to a stop. */
export interface Stall {
  /** The server has said that it speaks SSH, in a small packet. */
  readonly identified: boolean;
  /** Bytes of ours that its system has not acknowledged, or null where ours does not tell. */
  readonly unacknowledged: number | null;
  /** How long nothing has come, in milliseconds. */
  readonly silentMs: number;
}

/**
 * Names a path that lets small packets through and loses large ones without a word (an MTU black hole, RFC 2923 section 2.1), where
 * that is the likely reason: the key exchange is the first thing that is large. That ours are not acknowledged, by a system that
 * acknowledged the first ones, says so; that nothing comes after the identification may have another reason, such as a server that hangs.
 */
export function nameLostPackets(
  failure: TunnelFailure,
  { identified, unacknowledged, silentMs }: Stall,
): TunnelFailure {
  if (!identified || silentMs < SILENT_MS) return failure;
  const seen =
    (unacknowledged ?? 0) >= LARGE
      ? `${unacknowledged} bytes of ours are not acknowledged, after small packets were: the path most likely loses large ones`
      : 'it identified itself and fell silent: it hangs, or the path loses large packets';
  return new TunnelFailure(failure.code, `${failure.message}; ${seen}`, { cause: failure, hint: HINT });
}

/** TCP has repeated itself three times by then. */
const SILENT_MS = 3000;

/** No acknowledgement of a small packet is missing for so long; a key exchange begins with more than that. */
const LARGE = 500;

const HINT =
  "Large packets are lost on the way (an MTU black hole, as behind a VPN or PPPoE). `sysctl -w net.ipv4.tcp_mtu_probing=1` here and on the server finds the size that passes; or give the interface a smaller one (`ip link set dev eth0 mtu 1280`), or have the router clamp it (iptables, TCPMSS --clamp-mss-to-pmtu). If another client gets in over the same path, read the server's log instead.";
