/** Defined by the bundler, from package.json; absent when the sources run as they are. */
declare const TUNNELD_VERSION: string | undefined;

export const VERSION: string = typeof TUNNELD_VERSION === 'string' ? TUNNELD_VERSION : '0.0.0-dev';
