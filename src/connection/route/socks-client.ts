// Imported on demand in place of the package: in the bundle a CommonJS package has its names only in `default`, and
// from the sources only beside it.
export { SocksClient } from 'socks';
