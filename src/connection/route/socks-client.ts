// What is imported on demand in the place of the package: that is CommonJS, whose names stand in the default alone in the bundle, and
// nowhere else when run from the sources.
export { SocksClient } from 'socks';
