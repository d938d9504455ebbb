import type { ConfigEnvironment } from '../../config/input/environment.ts';

/** User and paths of the system's service. */
export const SERVICE_USER = 'tunneld';
export const ETC = '/etc/tunneld';
export const STATE = '/var/lib/tunneld';
/** Exists only while the service runs. */
export const RUNTIME = '/run/tunneld';
/** Copies of keys that changed after the start; the service looks for them beside RUNTIME. */
export const CREDENTIALS = `${RUNTIME}-keys`;
export const CONFIG = `${ETC}/config.yaml`;
export const UNIT_FILE = '/etc/systemd/system/tunnel.service';

/** The environment in which the service reads its configuration. */
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

/** Any number but root's: the meaning of a configuration does not depend on it. */
const SERVICE_UID = 999;
