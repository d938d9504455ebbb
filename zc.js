import './tunnel/session.test.js';
import './connection/route/route.test.js';
import './whole/daemon/stop.test.js';
import './whole/tunnel/blocked.test.js';
import './whole/tunnel/local-forwards.test.js';
import './whole/tunnel/many.test.js';
import './whole/tunnel/server-floods.test.js';
import './whole/tunnel/stop.test.js';
