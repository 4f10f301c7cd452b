package runner

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/callboard/callboard/certs"
)

// FromEnv reads a Config from the environment. Each variable exists with the prefix CALLBOARD_, which wins, and the first seven
// also with RIVET_:
//
//	ENDPOINT TOKEN NAMESPACE RUNNER (the pool) RUNNER_KEY RUNNER_VERSION TOTAL_SLOTS
//	RUNNER_METADATA ADVERTISED_ADDR SHUTDOWN_GRACE (a duration, or seconds) ON_STUCK ON_LEASE_LOST WHEN_DRAINED
//	TLS_CA TLS_CERT TLS_KEY TLS_SERVER_NAME (PEM files, and the only name that a node's certificate may be for: see certs.Client)
//
// What is not set keeps its default. An error names every variable that is wrong.
func FromEnv() (Config, error) { return readEnvironment(os.LookupEnv) }

func readEnvironment(lookup func(string) (string, bool)) (Config, error) {
	e := environment{lookup: lookup}
	c := Config{
		Endpoint:       e.text("ENDPOINT", true),
		Token:          e.text("TOKEN", true),
		Namespace:      e.text("NAMESPACE", true),
		Pool:           e.text("RUNNER", true),
		Key:            e.text("RUNNER_KEY", true),
		Version:        e.version(),
		Slots:          e.slots(),
		MetadataJSON:   e.text("RUNNER_METADATA", false),
		AdvertisedAddr: e.text("ADVERTISED_ADDR", false),
		ShutdownGrace:  e.duration("SHUTDOWN_GRACE"),
		OnStuck:        OnStuck(e.text("ON_STUCK", false)),
		OnLeaseLost:    OnLeaseLost(e.text("ON_LEASE_LOST", false)),
		WhenDrained:    WhenDrained(e.text("WHEN_DRAINED", false)),
	}
	c.TLS = e.tls()
	if len(e.errs) > 0 {
		return Config{}, errors.Join(e.errs...)
	}
	if _, err := c.withDefaults(); err != nil {
		return Config{}, err
	}
	return c, nil
}

type environment struct {
	lookup func(string) (string, bool)
	errs   []error
}

// find returns the full name of the variable that counts, and its value. An empty value counts as not set.
func (e *environment) find(name string, rivet bool) (full, value string) {
	full = "CALLBOARD_" + name
	if v, ok := e.lookup(full); ok && v != "" {
		return full, v
	}
	if rivet {
		if v, ok := e.lookup("RIVET_" + name); ok && v != "" {
			return "RIVET_" + name, v
		}
	}
	return full, ""
}

func (e *environment) text(name string, rivet bool) string {
	_, v := e.find(name, rivet)
	return v
}

func (e *environment) bad(name, format string, args ...any) {
	e.errs = append(e.errs, fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...)))
}

// tls returns nil without a CA.
func (e *environment) tls() *tls.Config {
	files := certs.Files{CA: e.text("TLS_CA", false), Cert: e.text("TLS_CERT", false), Key: e.text("TLS_KEY", false)}
	serverName := e.text("TLS_SERVER_NAME", false)
	if files.CA == "" {
		if files != (certs.Files{}) || serverName != "" {
			e.bad("CALLBOARD_TLS_CA", "the other TLS variables need it")
		}
		return nil
	}
	config, err := certs.Client(files, serverName)
	if err != nil {
		e.bad("CALLBOARD_TLS_CA, _CERT, _KEY", "%v", err)
	}
	return config
}

func (e *environment) version() uint32 {
	name, v := e.find("RUNNER_VERSION", true)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseUint(v, 10, 64)
	switch {
	case err != nil:
		e.bad(name, "%q is not a whole number from 0 to %d", v, uint32(math.MaxUint32))
	case n >= 1e12 && n < 1e14:
		e.bad(name, "%d looks like a time in milliseconds; give seconds (date +%%s) or a build number, at most %d", n, uint32(math.MaxUint32))
	case n > math.MaxUint32:
		e.bad(name, "%d is too large; at most %d", n, uint32(math.MaxUint32))
	default:
		return uint32(n)
	}
	return 0
}

func (e *environment) slots() uint32 {
	name, v := e.find("TOTAL_SLOTS", true)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil || n < 1 || n > MaxSlots {
		e.bad(name, "%q is not a whole number from 1 to %d", v, MaxSlots)
		return 0
	}
	return uint32(n)
}

func (e *environment) duration(name string) time.Duration {
	name, v := e.find(name, false)
	if v == "" {
		return 0
	}
	d, err := time.ParseDuration(v)
	if seconds, err2 := strconv.ParseUint(v, 10, 31); err2 == nil {
		d, err = time.Duration(seconds)*time.Second, nil
	}
	if err != nil || d <= 0 {
		e.bad(name, "%q is neither a duration such as 90s nor a number of seconds above 0", v)
		return 0
	}
	return d
}
