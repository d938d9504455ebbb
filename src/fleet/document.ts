/** What `tunneld fleet` knows of one server; the document of --json. Times are ISO 8601. */
export interface FleetServer {
  /** `me@server:22`. */
  readonly server: string;
  readonly at: string;
  /** Whether it could be read at all. */
  readonly read: boolean;
  /** What was read as root; without it owners of ports, keys and logs may be unknown. */
  readonly asRoot: boolean;
  /** Why the server, or a part of it, could not be read. */
  readonly problems: readonly string[];
  readonly devices: readonly FleetDevice[];
  /** The host keys that its sshd is configured with; none where it was not read as root. */
  readonly hostKeys: readonly FleetHostKey[];
}

export interface FleetHostKey {
  readonly type: string;
  readonly fingerprint: string;
  /** Since when sshd announces it at logins; absent where sshd has not read its files again since the key was made, as far as its log shows. */
  readonly offeredSince?: string;
  /** It was made as the spare one: devices may have it pinned that sshd has not announced it to, which the server cannot see. */
  readonly spare?: true;
  /** The users to whose devices sshd has not announced it. */
  readonly notAnnouncedTo: readonly string[];
}

/** One port that the server promises to a key, or a key without a port. */
export interface FleetDevice {
  /** From the comment of its key. */
  readonly device: string;
  readonly user: string;
  /** The address and port that the key may listen on; null for a key that may listen on no port. */
  readonly host: string | null;
  readonly port: number | null;
  /** `standby`: it is not here, and need not be, because another of the servers that were asked has it. */
  readonly state: 'up' | 'idle' | 'held' | 'down' | 'never' | 'standby' | 'unusable';
  /** Present where its tunnel is at one of several servers at a time. */
  readonly failover?: true;
  /** Whether the device's own SSH server answers at the port, with the host key that was recorded. */
  readonly verified: 'yes' | 'no' | 'unknown';
  /** Since when it is logged in. */
  readonly since?: string;
  /** The address that it comes from. */
  readonly from?: string;
  /** Open connections to the port; null where that is not known. */
  readonly visitors: number | null;
  /** The last login or logout in the server's log. */
  readonly lastSeen?: string;
  /** Fingerprints: of the key it logs in with, of the host key that was recorded, and of the one that was seen. */
  readonly key: string;
  readonly hostKey?: string;
  readonly seenHostKey?: string;
  /** What is wrong, in the order of weight; the first is shown. */
  readonly troubles: readonly FleetTrouble[];
}

export interface FleetTrouble {
  readonly code: TroubleCode;
  readonly message: string;
}

/** Every kind of trouble that a device is seen in. */
export type TroubleCode =
  | 'no-user'
  | 'no-port'
  | 'promised-twice'
  | 'held-by-stranger'
  | 'held-by-device'
  | 'other-host-key'
  | 'not-listening'
  | 'no-answer'
  | 'no-ssh'
  | 'exposed'
  | 'never-came'
  | 'down';
