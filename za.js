import './lib/async/abort.test.js';
import './lib/async/scope.test.js';
import './forwarding/visitors/socks-handshake.test.js';
import './forwarding/verify/listener-verifier.test.js';
import './tunnel/wait-for-network.test.js';
import './net/dial.test.js';
import './net/open-racing.test.js';
import './tunnel/tunnel.test.js';
