import './whole/tunnel/close-after-data.test.js';
import './whole/tunnel/hostile-server.test.js';
import './connection/auth/auth.certificates.test.js';
import './support/relay.test.js';
import './host/tcp-queue.test.js';
import './host/watchdog-thread.test.js';
