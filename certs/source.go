package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lookEvery is how often the files are looked at.
	lookEvery = 2 * time.Second
	// warnBefore is how long before the end of its certificate a node says so, once a day.
	warnBefore = 14 * 24 * time.Hour
	warnEvery  = 24 * time.Hour
)

// Source is the TLS of one node. Its files may change at any time: each handshake uses what they hold then.
type Source struct {
	files   Files
	cluster string
	log     *slog.Logger
	now     atomic.Pointer[material]
	reload  chan struct{} // room for one
	broken  atomic.Bool   // the newest files cannot be used

	// A mutex and not a loop: connections come and go on goroutines of their own, and all there is to own is the set.
	mu   sync.Mutex
	open map[*connection]struct{}
}

type connection struct {
	conn  net.Conn
	check func() error
}

// Open reads the files of a node of the named cluster. An error names the file at fault and what to do.
func Open(files Files, cluster string, log *slog.Logger) (*Source, error) {
	if err := CheckCluster(cluster); err != nil {
		return nil, err
	}
	s := &Source{files: files, cluster: cluster, log: log, reload: make(chan struct{}, 1), open: map[*connection]struct{}{}}
	m, err := s.load()
	if err != nil {
		return nil, err
	}
	s.now.Store(m)
	return s, nil
}

// load reads the files and checks that others would take this node for one.
func (s *Source) load() (*material, error) {
	if s.files.Cert == "" {
		return nil, errors.New("a node needs --tls-ca, --tls-cert and --tls-key")
	}
	m, err := s.files.load()
	if err != nil {
		return nil, err
	}
	self := tls.ConnectionState{}
	for _, der := range m.cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.files.Cert, err)
		}
		self.PeerCertificates = append(self.PeerCertificates, c)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := chain(self, m.cas, usage); err != nil {
			return nil, fmt.Errorf("%s with the CAs of %s: %w", s.files.Cert, s.files.CA, err)
		}
	}
	for _, role := range []Role{Node, Engine} {
		if !Has(self.PeerCertificates[0], role, s.cluster) {
			return nil, fmt.Errorf("%s is for %s: a node of this cluster needs the name %s: make one with `callboard tls cert create --node NAME`, or give its "+
				"--cluster-name", s.files.Cert, names(self.PeerCertificates[0]), Name(role, s.cluster))
		}
	}
	return m, nil
}

// Reload has the files looked at now.
func (s *Source) Reload() {
	select {
	case s.reload <- struct{}{}:
	default:
	}
}

// Run looks at the files until ctx ends. Files that cannot be used change nothing, and are said once.
func (s *Source) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var said string
	var warned time.Time
	for {
		if left := time.Until(s.Expires()); left < warnBefore && time.Since(warned) > warnEvery {
			warned = time.Now()
			s.log.Warn("the certificate of this node ends soon: put a new one in its place, no restart is needed", "file", s.files.Cert,
				"ends", s.Expires().UTC().Format(time.RFC3339), "days_left", int(left.Hours()/24))
		}
		select {
		case <-tick.C:
		case <-s.reload:
			said = ""
		case <-ctx.Done():
			return nil
		}
		m, err := s.load()
		s.broken.Store(err != nil)
		switch {
		case err != nil && err.Error() != said:
			said = err.Error()
			s.log.Error("the new TLS files cannot be used: those before stay in use", "error", err)
		case err != nil:
		case !m.same(s.now.Load()):
			said = ""
			s.now.Store(m)
			ended := s.recheck()
			s.log.Info("the TLS files have changed: new connections use them", "connections_ended", ended, "ends", s.Expires().UTC().Format(time.RFC3339))
		}
	}
}

// Expires returns when the certificate in use ends.
func (s *Source) Expires() time.Time { return s.now.Load().cert.Leaf.NotAfter }

// Broken reports whether the files on the disk cannot be used, so that those before them are.
func (s *Source) Broken() bool { return s.broken.Load() }

// recheck ends the connections that would not be let in now.
func (s *Source) recheck() (ended int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if err := c.check(); err != nil {
			s.log.Warn("a connection is ended: it would not be let in with the present TLS files", "with", c.conn.RemoteAddr(), "error", err)
			_ = c.conn.Close()
			delete(s.open, c)
			ended++
		}
	}
	return ended
}

// Keep has an open connection checked now, and again whenever the files change, and closed when it would not be let in any more, until
// released. An error is that of the first check: the files may have changed since the handshake.
func (s *Source) Keep(conn net.Conn, check func() error) (release func(), err error) {
	c := &connection{conn, check}
	release = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, c)
	}
	s.mu.Lock()
	s.open[c] = struct{}{}
	s.mu.Unlock()
	if err := check(); err != nil { // after it is in the set, so that no change goes by unseen
		release()
		return nil, err
	}
	return release, nil
}

// Member checks that the other side of a connection is a node of this cluster; usage says which side it is.
func (s *Source) Member(state tls.ConnectionState, usage x509.ExtKeyUsage) error {
	leaf, err := chain(state, s.now.Load().cas, usage)
	if err == nil && !Has(leaf, Node, s.cluster) {
		err = fmt.Errorf("its certificate is for %s, and not for a node of this cluster, which has %s", names(leaf), Name(Node, s.cluster))
	}
	return err
}

// Caller checks whoever calls: a certificate that is shown must be of the cluster's CAs; none may be wanted.
func (s *Source) Caller(state tls.ConnectionState, wanted bool) error {
	if len(state.PeerCertificates) == 0 && !wanted {
		return nil
	}
	leaf, err := chain(state, s.now.Load().cas, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return err
	}
	for _, role := range []Role{Node, Operator, Runner} {
		if Has(leaf, role, s.cluster) {
			return nil
		}
	}
	return fmt.Errorf("its certificate is for %s, and for no node, operator or runner of the cluster %s", names(leaf), s.cluster)
}

// May reports whether the caller's certificate has one of the roles.
func (s *Source) May(state tls.ConnectionState, roles ...Role) bool {
	if len(state.PeerCertificates) == 0 {
		return false
	}
	for _, role := range roles {
		if Has(state.PeerCertificates[0], role, s.cluster) {
			return true
		}
	}
	return false
}
