package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// HandshakeTimeout bounds a handshake where nothing else does.
const HandshakeTimeout = 5 * time.Second

func (s *Source) server(ask tls.ClientAuthType, protocols []string, check func(tls.ConnectionState) error) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: ask, SessionTicketsDisabled: true, NextProtos: protocols,
		GetCertificate:   func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.now.Load().cert, nil },
		VerifyConnection: check,
	}
}

// NodeServer is for a port that other nodes of the cluster call, and nobody else.
func (s *Source) NodeServer() *tls.Config {
	return s.server(tls.RequireAnyClientCert, nil, func(state tls.ConnectionState) error { return s.Member(state, x509.ExtKeyUsageClientAuth) })
}

// Server is for a port that clients and runners call. wanted: they have to have a certificate of the cluster. protocols are those of ALPN.
func (s *Source) Server(wanted bool, protocols ...string) *tls.Config {
	return s.server(tls.RequestClientCert, protocols, func(state tls.ConnectionState) error { return s.Caller(state, wanted) })
}

// NodeClient is for a connection to another node of the cluster. protocols are those of ALPN.
func (s *Source) NodeClient(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: Name(Node, s.cluster), NextProtos: protocols,
		InsecureSkipVerify:   true, //nolint:gosec // VerifyConnection does all of it, against the CAs of now
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return s.now.Load().cert, nil },
		VerifyConnection:     func(state tls.ConnectionState) error { return s.Member(state, x509.ExtKeyUsageServerAuth) },
	}
}

// Client is for callers of a cluster: a client or a runner. With files that have a certificate it is shown. The engine must show one of the
// CAs, for the host that was dialled (by its name) or for an engine of any cluster; serverName, if given, is the only name that counts. The
// files are read again at each handshake, so that they may change; when they cannot be used, what was read before is.
func Client(files Files, serverName string) (*tls.Config, error) {
	m, err := files.load()
	if err != nil {
		return nil, err
	}
	c := &callerFiles{files: files, last: m}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does all of it, against the CAs of now
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if m := c.read(); m.cert != nil {
				return m.cert, nil
			}
			return &tls.Certificate{}, nil
		},
		VerifyConnection: func(state tls.ConnectionState) error { return engine(state, c.read(), serverName) },
	}, nil
}

// engine checks that a server is the one that was meant.
func engine(state tls.ConnectionState, m *material, serverName string) error {
	leaf, err := chain(state, m.cas, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return fmt.Errorf("the server's certificate is of none of the CAs given with --tls-ca: %w", err)
	}
	if serverName != "" {
		if leaf.VerifyHostname(serverName) != nil {
			return fmt.Errorf("the server's certificate is for %s, and not for --tls-server-name %s", names(leaf), serverName)
		}
		return nil
	}
	if host := state.ServerName; host != "" && leaf.VerifyHostname(host) == nil {
		return nil
	}
	for _, name := range leaf.DNSNames {
		if rest, ok := strings.CutPrefix(name, string(Engine)+"."); ok && strings.HasSuffix(rest, suffix) {
			return nil
		}
	}
	return fmt.Errorf("the server's certificate is for %s, and neither for the host that was dialled nor for an engine (%s): give the name that it must have "+
		"with --tls-server-name", names(leaf), Name(Engine, "*"))
}

var errNotTLS = errors.New("something answers there, and does not speak TLS")

// Dialled returns the error of a handshake in words: a plain port, or a refusal of the other side.
func Dialled(err error) error {
	var notTLS tls.RecordHeaderError
	var alert *net.OpError
	switch {
	case errors.As(err, &notTLS):
		return errNotTLS
	case errors.As(err, &alert) && alert.Op == "remote error":
		return fmt.Errorf("the other side refused this side's certificate: %w", err)
	}
	return err
}
