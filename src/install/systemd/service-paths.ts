import type { ConfigEnvironment } from '../../config/input/environment.ts';

/** Where the system's service has what is its own. */
export const SERVICE_USER = 'tunneld';
export const ETC = '/etc/tunneld';
export const STATE = '/var/lib/tunneld';
/** Exists while the service runs. */
export const RUNTIME = '/run/tunneld';
/** Copies of keys that came after its start; the service looks beside RUNTIME for them. */
export const CREDENTIALS = `${RUNTIME}-keys`;
export const CONFIG = `${ETC}/config.yaml`;
export const UNIT_FILE = '/etc/systemd/system/tunnel.service';

/** What the service sees when it reads its configuration. */
export function serviceEnvironment(here: ConfigEnvironment): ConfigEnvironment {
  return {
    home: STATE,
    userName: SERVICE_USER,
    uid: SERVICE_UID,
    platform: here.platform,
    env: {
      HOME: STATE,
      USER: SERVICE_USER,
      LOGNAME: SERVICE_USER,
      CONFIGURATION_DIRECTORY: ETC,
      STATE_DIRECTORY: STATE,
      RUNTIME_DIRECTORY: RUNTIME,
      CREDENTIALS_DIRECTORY: '/run/credentials/tunnel.service',
    },
    aes: here.aes,
    directory: '/',
  };
}

/** Any but root's: which one it will be does not change what a configuration means. */
const SERVICE_UID = 999;
