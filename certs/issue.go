package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	caFile, caKeyFile = "ca.pem", "ca-key.pem"

	day = 24 * time.Hour
	// CALife and CertLife are how long what this build makes is good.
	CALife   = 10 * 365 * day
	CertLife = 365 * day
	// backdated lets a certificate be used at once by machines whose clocks are behind.
	backdated = time.Hour
)

// Authority makes certificates of a cluster. Its key is on the disk, next to its certificate.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// CreateAuthority makes a CA in a directory: ca.pem, and ca-key.pem, which stays with whoever makes certificates. One that is there is not
// replaced.
func CreateAuthority(dir string) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: fmt.Sprintf("Callboard CA %x", serial.Bytes()[:4])},
		NotBefore: now.Add(-backdated), NotAfter: now.Add(CALife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	if err := writeKey(filepath.Join(dir, caKeyFile), key); err != nil {
		return nil, err
	}
	if err := writePEM(filepath.Join(dir, caFile), 0o644, "CERTIFICATE", der); err != nil {
		return nil, err
	}
	return OpenAuthority(dir)
}

// OpenAuthority reads the CA of a directory.
func OpenAuthority(dir string) (*Authority, error) {
	certs, err := readCertificates(filepath.Join(dir, caFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no CA in %s: make one with `callboard tls ca create --dir %s`", dir, dir)
	}
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, caKeyFile)
	if err := private(path); err != nil {
		return nil, err
	}
	content, err := read(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%s: no key in it: want PEM", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(certs[0].PublicKey) {
		return nil, fmt.Errorf("%s is not the key of %s", path, filepath.Join(dir, caFile))
	}
	return &Authority{dir: dir, cert: certs[0], key: key}, nil
}

// Files are those of the CA itself.
func (a *Authority) Files() Files {
	return Files{Cert: filepath.Join(a.dir, caFile), Key: filepath.Join(a.dir, caKeyFile)}
}

// Expires returns when the CA ends, and with it all that it has issued.
func (a *Authority) Expires() time.Time { return a.cert.NotAfter }

// Request says what a certificate is for.
type Request struct {
	Name    string // of the files, and of the subject
	Cluster string
	Roles   []Role
	Hosts   []string // names and addresses by which others reach the holder
	Life    time.Duration
}

// Issue makes a certificate: NAME.pem and NAME-key.pem beside the CA. Files that are there are not replaced. It returns them, and when the
// certificate ends: with its CA at the latest.
func (a *Authority) Issue(r Request) (Files, time.Time, error) {
	files := Files{CA: filepath.Join(a.dir, caFile), Cert: filepath.Join(a.dir, r.Name+".pem"), Key: filepath.Join(a.dir, r.Name+"-key.pem")}
	template, err := a.template(r)
	if err != nil {
		return files, time.Time{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return files, time.Time{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return files, time.Time{}, err
	}
	if err := writeKey(files.Key, key); err != nil {
		return files, time.Time{}, err
	}
	return files, template.NotAfter, writePEM(files.Cert, 0o644, "CERTIFICATE", der)
}

func (a *Authority) template(r Request) (*x509.Certificate, error) {
	if r.Name == "" || r.Name != filepath.Base(r.Name) || strings.HasPrefix(r.Name, ".") || r.Name == "ca" {
		return nil, fmt.Errorf("%q cannot be the name of a certificate: its files would be called so", r.Name)
	}
	if err := CheckCluster(r.Cluster); err != nil {
		return nil, err
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: r.Name}, NotBefore: now.Add(-backdated), NotAfter: now.Add(r.Life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	for _, role := range r.Roles {
		template.DNSNames = append(template.DNSNames, Name(role, r.Cluster))
		if role == Engine {
			template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		}
	}
	for _, host := range r.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return template, nil
}

func serialNumber() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, err
	}
	return n.SetBit(n, 126, 1), nil // of one length
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, 0o600, "PRIVATE KEY", der)
}

// writePEM makes a file that is not there yet.
func writePEM(path string, mode fs.FileMode, kind string, der []byte) error {
	file, err := os.OpenFile(filepath.Clean(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and is not replaced: move it away first, or choose another name or directory", path)
	}
	if err != nil {
		return err
	}
	return errors.Join(pem.Encode(file, &pem.Block{Type: kind, Bytes: der}), file.Sync(), file.Close())
}

// readCertificates reads the certificates of a PEM file, at least one.
func readCertificates(path string) ([]*x509.Certificate, error) {
	content, err := read(path)
	if err != nil {
		return nil, err
	}
	var found []*x509.Certificate
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		found = append(found, c)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: no certificate in it: want PEM", path)
	}
	return found, nil
}

// Description is what a certificate of a file says.
type Description struct {
	Subject, Issuer string
	Names           []string // DNS names and addresses
	CA              bool
	From, Until     time.Time
}

// Inspect describes the certificates of a PEM file.
func Inspect(path string) ([]Description, error) {
	found, err := readCertificates(path)
	if err != nil {
		return nil, err
	}
	var all []Description
	for _, c := range found {
		d := Description{Subject: c.Subject.String(), Issuer: c.Issuer.String(), Names: c.DNSNames, CA: c.IsCA, From: c.NotBefore, Until: c.NotAfter}
		for _, ip := range c.IPAddresses {
			d.Names = append(d.Names, ip.String())
		}
		all = append(all, d)
	}
	return all, nil
}
