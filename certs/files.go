package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Files are the PEM files of one side. A client may have a CA alone.
type Files struct {
	CA   string // certificates of those who may have issued the other side's: a bundle while one CA follows another
	Cert string // this side's certificate, and those between it and its CA
	Key  string // its private key, which nobody but the owner of the file may read
}

// maxFileBytes bounds each file.
const maxFileBytes = 1 << 20

// material is what the files hold at one time.
type material struct {
	cas  *x509.CertPool
	cert *tls.Certificate // nil: none
	raw  [3][]byte        // of the files, to tell whether they have changed
}

func (m *material) same(other *material) bool {
	for i := range m.raw {
		if !bytes.Equal(m.raw[i], other.raw[i]) {
			return false
		}
	}
	return true
}

// load reads the files. An error names the one at fault.
func (f Files) load() (*material, error) {
	m := &material{cas: x509.NewCertPool()}
	if f.CA == "" || (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("--tls-cert and --tls-key belong together, and need --tls-ca")
	}
	if f.Key != "" {
		if err := private(f.Key); err != nil {
			return nil, err
		}
	}
	for i, path := range []string{f.CA, f.Cert, f.Key} {
		if path == "" {
			continue
		}
		content, err := read(path)
		if err != nil {
			return nil, err
		}
		m.raw[i] = content
	}
	if !m.cas.AppendCertsFromPEM(m.raw[0]) {
		return nil, fmt.Errorf("%s: no certificate in it: want PEM", f.CA)
	}
	if f.Cert == "" {
		return m, nil
	}
	pair, err := tls.X509KeyPair(m.raw[1], m.raw[2])
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w", f.Cert, f.Key, err)
	}
	m.cert = &pair
	return m, nil
}

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d of a PEM file here", path, info.Size(), maxFileBytes)
	}
	return os.ReadFile(filepath.Clean(path))
}

// private refuses a key that others may read.
func private(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s may be read by others (mode %#o): make it private with `chmod 600 %s`", path, mode, path)
	}
	return nil
}
