package serverless

import (
	"errors"
	"net/netip"
	"testing"
)

// Addresses that only the engine can reach are not called, in whatever form they come.
func TestWhatMustNotBeCalledIsNotCalled(t *testing.T) {
	policy := &Policy{Deny: []string{"*.internal", "10.9.0.0/16"}, Members: func() []netip.AddrPort {
		return []netip.AddrPort{netip.MustParseAddrPort("10.1.1.1:6421")}
	}}
	for _, test := range []struct {
		host, addr string
		port       uint16
		denied     bool
	}{
		{"app", "93.184.216.34", 443, false},
		{"app", "10.1.1.2", 6421, false},
		{"app", "10.1.1.1", 80, false},
		{"app", "2001:db8::1", 80, false},
		{"app", "10.1.1.1", 6421, true},
		{"app", "::ffff:10.1.1.1", 6421, true},
		{"app", "127.0.0.1", 80, true},
		{"app", "::1", 80, true},
		{"app", "::ffff:127.0.0.1", 80, true},
		{"app", "0.0.0.0", 80, true},
		{"app", "::", 80, true},
		{"app", "169.254.169.254", 80, true},
		{"app", "::ffff:169.254.169.254", 80, true},
		{"app", "64:ff9b::a9fe:a9fe", 80, true},
		{"app", "2002:a9fe:a9fe::1", 80, true},
		{"app", "fe80::1", 80, true},
		{"app", "168.63.129.16", 80, true},
		{"app", "fd00:ec2::254", 80, true},
		{"app", "224.0.0.1", 80, true},
		{"db.internal", "93.184.216.34", 443, true},
		{"app", "10.9.3.4", 443, true},
	} {
		err := policy.check(test.host, netip.MustParseAddr(test.addr), test.port)
		if denied := errors.Is(err, errDenied); denied != test.denied {
			t.Errorf("%s at %s:%d: denied %v, want %v (%v)", test.host, test.addr, test.port, denied, test.denied, err)
		}
	}
	policy.AllowLoopback = true
	if err := policy.check("localhost", netip.MustParseAddr("127.0.0.1"), 8080); err != nil {
		t.Errorf("loopback is allowed: %v", err)
	}
	policy.Allow = []string{"*.example.com"}
	if err := policy.check("localhost", netip.MustParseAddr("127.0.0.1"), 8080); !errors.Is(err, errDenied) {
		t.Errorf("it is not among those that are allowed: %v", err)
	}
	if err := policy.check("app.example.com", netip.MustParseAddr("93.184.216.34"), 443); err != nil {
		t.Errorf("it is among those that are allowed: %v", err)
	}
}

func TestPatternsAreChecked(t *testing.T) {
	if err := CheckPatterns([]string{"app.example.com", "*.example.com", "10.0.0.0/8", "::1"}); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "http://app", "10.0.0.0/99", "a b"} {
		if CheckPatterns([]string{bad}) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
