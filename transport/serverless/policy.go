package serverless

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Policy says which addresses the engine may call for a pool. Who writes a pool's config makes the engine send requests from inside its own
// network: it must not reach what only the engine can.
type Policy struct {
	Allow         []string // hosts, *.suffixes and networks that may be called; empty: all that Deny and the rules below let pass
	Deny          []string // hosts, *.suffixes and networks that must not
	AllowLoopback bool     // of this machine itself
	// Members returns the addresses of the cluster's own ports: they are never called.
	Members func() []netip.AddrPort
	// Resolve looks up a name; nil: as the system does.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	connect func(ctx context.Context, network, addr string) (net.Conn, error) // nil: over the network
}

// CheckPatterns says what is wrong with a list of hosts, *.suffixes and networks.
func CheckPatterns(patterns []string) error {
	for _, p := range patterns {
		switch _, err := netip.ParsePrefix(p); {
		case p == "", strings.ContainsAny(p, " \t"), strings.Contains(p, "://"):
			return fmt.Errorf("%q is no host, *.suffix or network: want such as app.example.com, *.example.com or 10.0.0.0/8", p)
		case strings.Contains(p, "/") && err != nil:
			return fmt.Errorf("%q is no network: want such as 10.0.0.0/8", p)
		}
	}
	return nil
}

// errDenied is why an address is not dialled.
var errDenied = errors.New("the engine does not call this address")

// Addresses that the metadata services of clouds have outside the link-local range.
var cloudMetadata = []netip.Addr{
	netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("192.0.0.192"),
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254"),
}

var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	nat64Local = netip.MustParsePrefix("64:ff9b:1::/48")
	sixToFour  = netip.MustParsePrefix("2002::/16")
)

// unwrap returns the IPv4 address that an IPv6 address stands for, or the address itself.
func unwrap(a netip.Addr) netip.Addr {
	a = a.WithZone("").Unmap()
	if !a.Is6() {
		return a
	}
	b := a.As16()
	switch {
	case nat64.Contains(a), nat64Local.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16]))
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

// check returns an error if an address of a host must not be dialled.
func (p *Policy) check(host string, addr netip.Addr, port uint16) error {
	a := unwrap(addr)
	deny := func(why string) error {
		return fmt.Errorf("%w: %s is %s", errDenied, net.JoinHostPort(addr.String(), fmt.Sprint(port)), why)
	}
	for _, m := range p.members() {
		if m.Port() == port && (unwrap(m.Addr()) == a || m.Addr().IsUnspecified() && a.IsLoopback()) {
			return deny("a port of this cluster")
		}
	}
	switch {
	case a.IsUnspecified():
		return deny("the unspecified address")
	case a.IsLinkLocalUnicast(), a.IsLinkLocalMulticast(), a.IsInterfaceLocalMulticast(), a.IsMulticast():
		return deny("link-local or multicast")
	case matches(cloudMetadata, a):
		return deny("the metadata service of a cloud")
	case a.IsLoopback() && !p.AllowLoopback:
		return deny("this machine itself (see --endpoint-allow-loopback)")
	case matchesAny(p.Deny, host, a):
		return deny("denied by --endpoint-deny")
	case len(p.Allow) > 0 && !matchesAny(p.Allow, host, a):
		return deny("not among --endpoint-allow")
	}
	return nil
}

func (p *Policy) members() []netip.AddrPort {
	if p.Members == nil {
		return nil
	}
	return p.Members()
}

func matches(list []netip.Addr, a netip.Addr) bool {
	for _, known := range list {
		if known == a {
			return true
		}
	}
	return false
}

func matchesAny(patterns []string, host string, a netip.Addr) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, p := range patterns {
		p = strings.ToLower(p)
		if network, err := netip.ParsePrefix(p); err == nil {
			if network.Contains(a) {
				return true
			}
			continue
		}
		if suffix, ok := strings.CutPrefix(p, "*"); ok && strings.HasSuffix(host, suffix) || p == host || p == a.String() {
			return true
		}
	}
	return false
}

// dial resolves a name, checks every address, and dials those that may be: the very address that was checked.
func (p *Policy) dial(ctx context.Context, network, target string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, network, portText)
	if err != nil {
		return nil, err
	}
	resolve := p.Resolve
	if resolve == nil {
		resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	addrs, err := resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	connect := p.connect
	if connect == nil {
		connect = new(net.Dialer).DialContext
	}
	last := fmt.Errorf("%s has no address", host)
	for _, addr := range addrs {
		if last = p.check(host, addr, uint16(port)); last != nil {
			continue
		}
		conn, err := connect(ctx, network, netip.AddrPortFrom(addr, uint16(port)).String())
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, last
}

// client returns an HTTP client for one request. Its connection is its own: a kept one that breaks would make the transport send a GET
// again. No proxy, no redirect, no HTTP/2 (which repeats requests, too), no compression, no cookies.
func (p *Policy) client(headersWithin time.Duration) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{
		Transport: &http.Transport{
			DialContext: p.dial, DisableKeepAlives: true, DisableCompression: true, ResponseHeaderTimeout: headersWithin,
			TLSHandshakeTimeout: headersWithin, MaxResponseHeaderBytes: maxHeaderBytes, Protocols: protocols,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// maxHeaderBytes bounds the headers of an endpoint's answer.
const maxHeaderBytes = 64 << 10
