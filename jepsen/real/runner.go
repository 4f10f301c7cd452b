//go:build unix

package real

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// RunnerConfig says what a runner process is.
type RunnerConfig struct {
	Key       string
	Pool      string
	Version   uint32
	Slots     uint32
	Endpoints []string      // gRPC addresses, in the order in which it tries them
	SaveEvery time.Duration // how often each of its actors saves; 0: never
	Through   *Link         // every connection goes through it; nil: none
	Serve     string        // it is the endpoint of a serverless pool at this address; empty: it is a runner
	Env       []string      // more of the environment
	Args      []string      // more of the command line
}

// Runner is a runner process that writes down when its actors run.
type Runner struct {
	*Process
	Config RunnerConfig
}

// StartRunner starts a runner process. It does not wait for it to connect.
func (w *World) StartRunner(cfg RunnerConfig) (*Runner, error) {
	name := w.nextName("runner-" + cfg.Key)
	record := filepath.Join(w.Dir, name+".jsonl")
	if err := os.WriteFile(record, nil, 0o600); err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.records = append(w.records, record)
	w.mu.Unlock()
	args := []string{"-record", record, "-process", name, "-save-every", cfg.SaveEvery.String()}
	if cfg.Through != nil {
		args = append(args, "-through", cfg.Through.Addr())
	}
	if cfg.Serve != "" {
		args = append(args, "-serve", cfg.Serve)
		cfg.Endpoints = nil // each call says where the engine is
	}
	args = append(args, cfg.Args...)
	env := append([]string{
		"CALLBOARD_ENDPOINT=" + strings.Join(cfg.Endpoints, ","),
		"CALLBOARD_RUNNER=" + cfg.Pool,
		"CALLBOARD_RUNNER_KEY=" + cfg.Key,
		"CALLBOARD_RUNNER_VERSION=" + strconv.FormatUint(uint64(cfg.Version), 10),
		"CALLBOARD_TOTAL_SLOTS=" + strconv.FormatUint(uint64(cfg.Slots), 10),
	}, cfg.Env...)
	if w.Secure != nil {
		env = append(env, w.Secure.Env...)
	}
	p, err := w.start(name, env, w.Binaries.TestRunner, args...)
	return &Runner{Process: p, Config: cfg}, err
}
