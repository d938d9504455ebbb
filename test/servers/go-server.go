// An SSH server of gliderlabs/ssh on golang.org/x/crypto that listens for its clients and connects for them: PORT HOST_KEY.
// It closes a channel right behind the last byte, without an end of stream.
package main

import (
	"log"
	"os"

	"github.com/gliderlabs/ssh"
)

func main() {
	forwards := &ssh.ForwardedTCPHandler{}
	yes := func(ctx ssh.Context, host string, port uint32) bool { return true }
	server := &ssh.Server{
		Addr:                          "127.0.0.1:" + os.Args[1],
		PublicKeyHandler:              func(ctx ssh.Context, key ssh.PublicKey) bool { return true },
		LocalPortForwardingCallback:   yes,
		ReversePortForwardingCallback: yes,
		RequestHandlers: map[string]ssh.RequestHandler{
			"tcpip-forward":        forwards.HandleSSHRequest,
			"cancel-tcpip-forward": forwards.HandleSSHRequest,
		},
		ChannelHandlers: map[string]ssh.ChannelHandler{"direct-tcpip": ssh.DirectTCPIPHandler},
	}
	if err := server.SetOption(ssh.HostKeyFile(os.Args[2])); err != nil {
		log.Fatal(err)
	}
	log.Fatal(server.ListenAndServe())
}
