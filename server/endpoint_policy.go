package server

import (
	"net/netip"

	"github.com/callboard/callboard/transport/serverless"
)

// endpointPolicy says which addresses this node calls for serverless pools: never a port of the cluster itself, and this machine only while
// the node listens on nothing else, or by setting.
func (n *node) endpointPolicy() *serverless.Policy {
	return &serverless.Policy{
		Allow: n.cfg.EndpointAllow, Deny: n.cfg.EndpointDeny, AllowLoopback: n.cfg.EndpointLoopback || n.onLoopback(), Members: n.memberPorts,
	}
}

// onLoopback reports whether every address of the node is on this machine.
func (n *node) onLoopback() bool {
	for _, addr := range []string{n.cfg.HTTPAddr, n.cfg.GRPCAddr, n.cfg.RaftAddr, n.cfg.GossipAddr} {
		if addr != "" && !loopback(addr) {
			return false
		}
	}
	return true
}

// memberPorts lists the ports of this cluster's nodes, as far as they are known as numbers.
func (n *node) memberPorts() (ports []netip.AddrPort) {
	addrs := []string{n.cfg.GossipAddr, n.cfg.MetricsAddr, n.cfg.RaftAddr}
	for _, p := range n.members.Peers() {
		addrs = append(addrs, p.RaftAddr, p.GRPCAddr, p.HTTPAddr)
	}
	for _, addr := range addrs {
		if port, err := netip.ParseAddrPort(addr); err == nil {
			ports = append(ports, port)
		}
	}
	return ports
}
