package runner

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"os"
	"time"
	"unicode/utf8"
)

// OnStuck says what happens to code that does not return although its context has ended: at 85 % of the lost threshold after a
// fence, or one second before the engine's deadline of a stop.
type OnStuck string

const (
	// Abandon gives it up: its calls are refused, its slot is free, and the engine is told. The default.
	Abandon OnStuck = "abandon"
	// ExitProcess ends the process, with exit code 22. Only this keeps "at most one body" even for code that ignores its context.
	ExitProcess OnStuck = "exit"
)

// OnLeaseLost says what happens when the lease runs out.
type OnLeaseLost string

const (
	// Fence cancels every actor, without hooks. The default.
	Fence OnLeaseLost = "fence"
	// Keep lets them run. It gives up "at most one body" for this runner's actors: the engine places them elsewhere all the same.
	Keep OnLeaseLost = "keep"
)

// WhenDrained says what Run does when a newer version has drained this runner and its last actor has gone.
type WhenDrained string

const (
	// Exit lets Run return nil. The default.
	Exit WhenDrained = "exit"
	// Stay keeps the runner connected, on stand-by.
	Stay WhenDrained = "stay"
)

// Config says who a runner is and where its engine is. The zero value is a runner of the pool "default" at 127.0.0.1:6421.
type Config struct {
	// Endpoint is where the engine is: a comma list of host:port (gRPC), or of http(s) URLs which are asked at /metadata for
	// the gRPC addresses. Default 127.0.0.1:6421.
	Endpoint string
	// Token is shown to the engine, which does not look at it yet and says so in a warning.
	Token string
	// Namespace and Pool default to "default".
	Namespace string
	Pool      string
	// Key names this runner within its pool. Another process with the same key replaces it. Default: random.
	Key string
	// Version decides placement (newest first) and drains: the higher, the newer. 0 means not configured.
	Version uint32
	// Slots is how many actors it takes at once, 1 to 1 000 000. Default 1000.
	Slots uint32
	// MetadataJSON is any JSON, shown with the runner.
	MetadataJSON string
	// AdvertisedAddr is where clients reach this process; the engine hands it to who resolves an actor.
	AdvertisedAddr string

	// ShutdownGrace is how long a shutdown may take, at most 30 min. Default 120 s.
	ShutdownGrace time.Duration
	OnStuck       OnStuck
	OnLeaseLost   OnLeaseLost
	WhenDrained   WhenDrained

	// IgnoreSignals leaves SIGTERM and SIGINT to the program; it calls Runner.Shutdown, or ends Run's context, instead.
	IgnoreSignals bool
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// TLS is used towards the engine when set: certs.Client makes one of PEM files.
	TLS *tls.Config
	// Dial replaces the network, for tests.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Clock replaces SystemClock, for tests: inside testing/synctest use ProcessClock.
	Clock Clock

	exit func(code int) // os.Exit; tests replace it

	// Of a serverless request: the process has told the engine its instance already, and which request it answers.
	instanceID, requestID string
}

// withDefaults fills in what was left out, or says everything that is wrong.
func (c Config) withDefaults() (Config, error) {
	setDefault(&c.Endpoint, "127.0.0.1:6421")
	setDefault(&c.Namespace, "default")
	setDefault(&c.Pool, "default")
	setDefault(&c.Slots, DefaultSlots)
	setDefault(&c.ShutdownGrace, DefaultShutdownGrace)
	setDefault(&c.OnStuck, Abandon)
	setDefault(&c.OnLeaseLost, Fence)
	setDefault(&c.WhenDrained, Exit)
	if c.Key == "" {
		c.Key = newUUID()
	}
	if c.instanceID == "" {
		c.instanceID = newUUID()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Clock == nil {
		c.Clock = SystemClock()
	}
	if c.Dial == nil {
		dialer := &net.Dialer{}
		c.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) }
	}
	if c.exit == nil {
		c.exit = os.Exit
	}
	return c, c.check()
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c *Config) check() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	}
	if wrong := checkEndpoint(c.Endpoint); wrong != "" {
		bad("Endpoint", "%s", wrong)
	}
	for _, f := range []struct {
		name, value string
		limit       int
	}{
		{"Namespace", c.Namespace, maxNamespaceBytes},
		{"Pool", c.Pool, maxPoolBytes},
		{"Key", c.Key, maxKeyBytes},
		{"AdvertisedAddr", c.AdvertisedAddr, maxAdvertisedBytes},
		{"Token", c.Token, maxTokenBytes},
		{"MetadataJSON", c.MetadataJSON, maxMetadataBytes},
	} {
		if len(f.value) > f.limit {
			bad(f.name, "has %d bytes; at most %d", len(f.value), f.limit)
		}
		if !utf8.ValidString(f.value) {
			bad(f.name, "is not valid UTF-8")
		} else if f.name == "Key" && !printable(f.value) {
			bad(f.name, "%q has a control character", f.value)
		}
	}
	if c.Slots > MaxSlots {
		bad("Slots", "%d; must be 1 to %d", c.Slots, MaxSlots)
	}
	if c.MetadataJSON != "" && !json.Valid([]byte(c.MetadataJSON)) {
		bad("MetadataJSON", "is not JSON")
	}
	if c.ShutdownGrace < 0 || c.ShutdownGrace > MaxShutdownGrace {
		bad("ShutdownGrace", "%v; must be more than 0 and at most %v", c.ShutdownGrace, MaxShutdownGrace)
	}
	if c.OnStuck != Abandon && c.OnStuck != ExitProcess {
		bad("OnStuck", "%q; must be %q or %q", c.OnStuck, Abandon, ExitProcess)
	}
	if c.OnLeaseLost != Fence && c.OnLeaseLost != Keep {
		bad("OnLeaseLost", "%q; must be %q or %q", c.OnLeaseLost, Fence, Keep)
	}
	if c.WhenDrained != Exit && c.WhenDrained != Stay {
		bad("WhenDrained", "%q; must be %q or %q", c.WhenDrained, Exit, Stay)
	}
	return errors.Join(errs...)
}

// checkEndpoint says what is wrong with it; nothing if it is fine.
func checkEndpoint(endpoint string) string {
	targets := splitEndpoint(endpoint)
	if len(targets) == 0 {
		return "names no address; give host:port or an http(s) URL"
	}
	if len(targets) > maxLearntAddresses {
		return fmt.Sprintf("names %d addresses; at most %d", len(targets), maxLearntAddresses)
	}
	for _, target := range targets {
		if len(target) > maxNameBytes {
			return fmt.Sprintf("an address of %d bytes; at most %d", len(target), maxNameBytes)
		}
		if isURL(target) {
			if u, err := url.Parse(target); err != nil || u.Host == "" {
				return fmt.Sprintf("%q is not a URL with a host", target)
			}
			continue
		}
		_, port, err := net.SplitHostPort(target)
		if err == nil {
			_, err = net.LookupPort("tcp", port) // ftp://host has a port as well, "//host"
		}
		if err != nil || port == "" {
			return fmt.Sprintf("%q is neither host:port nor an http(s) URL", target)
		}
	}
	return ""
}

// newUUID makes a random (version 4) UUID.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func milliseconds(d time.Duration) uint32 {
	return uint32(min(max(d.Milliseconds(), 0), math.MaxUint32))
}
