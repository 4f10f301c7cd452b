package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Role is what a certificate says its holder is.
type Role string

// The roles of a cluster's certificates.
const (
	Node     Role = "node"     // an engine node, towards other nodes
	Engine   Role = "engine"   // an engine node, towards clients and runners
	Operator Role = "operator" // a caller that may do anything
	Runner   Role = "runner"   // a runner: it may connect, and call nothing
)

// DefaultCluster is the name of a cluster that was given none.
const DefaultCluster = "callboard"

const (
	suffix       = ".callboard"
	maxNameBytes = 63 // of a cluster's name: a label of DNS
)

// Name returns the DNS name by which a certificate has a role in a cluster.
func Name(role Role, cluster string) string { return string(role) + "." + cluster + suffix }

// CheckCluster returns an error for a name that a cluster cannot have: 1 to 63 lower case letters, digits and hyphens, none at an end.
func CheckCluster(name string) error {
	strange := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
	if name == "" || len(name) > maxNameBytes || strings.ContainsFunc(name, strange) || strings.Trim(name, "-") != name {
		return fmt.Errorf("cluster name %.80q: want 1 to %d lower case letters, digits and hyphens, and no hyphen at an end", name, maxNameBytes)
	}
	return nil
}

// Has reports whether a certificate has a role in a cluster.
func Has(leaf *x509.Certificate, role Role, cluster string) bool {
	return slices.Contains(leaf.DNSNames, Name(role, cluster))
}

// names is what a certificate is for, as an error says it.
func names(leaf *x509.Certificate) string {
	all := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "nobody: it has no names"
	}
	return strings.Join(all, ", ")
}

// errNoCertificate is told to a caller that has to have a certificate.
var errNoCertificate = errors.New("it has no certificate: give one of the cluster with --tls-cert and --tls-key")

// chain checks that the other side's certificate was issued by one of the CAs and is good now.
func chain(state tls.ConnectionState, cas *x509.CertPool, usage x509.ExtKeyUsage) (*x509.Certificate, error) {
	if len(state.PeerCertificates) == 0 {
		return nil, errNoCertificate
	}
	leaf := state.PeerCertificates[0]
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: cas, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return nil, fmt.Errorf("its certificate, for %s, is not good here: %w", names(leaf), err)
	}
	return leaf, nil
}
