package main

import (
	"crypto/tls"
	"errors"

	"github.com/spf13/pflag"

	"github.com/callboard/callboard/certs"
)

// tlsFlags are the TLS of whoever calls a node: a client or a runner.
type tlsFlags struct {
	files      certs.Files
	serverName string
}

func (f *tlsFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.files.CA, "tls-ca", "", "PEM `file` with the CAs of the nodes; given, the connection is TLS")
	flags.StringVar(&f.files.Cert, "tls-cert", "", "PEM `file` with the certificate to show")
	flags.StringVar(&f.files.Key, "tls-key", "", "PEM `file` with its key, readable by its owner alone")
	flags.StringVar(&f.serverName, "tls-server-name", "", "the only `name` that a node's certificate may be for; empty: the host dialled, or any engine of the CAs")
}

// config returns nil for a connection without TLS.
func (f *tlsFlags) config() (*tls.Config, error) {
	switch {
	case f.files == certs.Files{} && f.serverName == "":
		return nil, nil
	case f.files.CA == "":
		return nil, errors.New("--tls-cert, --tls-key and --tls-server-name need --tls-ca")
	}
	return certs.Client(f.files, f.serverName)
}
