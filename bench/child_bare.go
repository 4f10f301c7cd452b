//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"github.com/callboard/callboard/transport/raftnet"
)

// bareChild is one node of Raft with a state machine that counts, and nothing else.
func bareChild(args []string) error {
	flags := flag.NewFlagSet("child-bare", flag.ContinueOnError)
	dir := flags.String("dir", "", "")
	at := flags.Int("at", 0, "which of the addresses is its own")
	raftAddrs := flags.String("raft", "", "comma list")
	httpAddr := flags.String("http", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	all := strings.Split(*raftAddrs, ",")
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	stores, err := raftnet.Open(*dir, raftnet.Options{Log: log})
	if err != nil {
		return err
	}
	transport, err := raftnet.ListenTCP("", all[*at], "", nil, nil, log)
	if err != nil {
		return err
	}
	var servers []raft.Server
	for _, addr := range all {
		servers = append(servers, raft.Server{ID: raft.ServerID(addr), Address: raft.ServerAddress(addr)})
	}
	config := raftnet.Config(all[*at], raftnet.DefaultTiming(), log)
	if err := raft.BootstrapCluster(config, stores.Log, stores.Stable, stores.Snapshots, transport, raft.Configuration{Servers: servers}); err != nil {
		return err
	}
	node, err := raft.NewRaft(config, &counter{}, stores.Log, stores.Stable, stores.Snapshots, transport)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: *httpAddr, Handler: bareHandler(node), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return errors.Join(node.Shutdown().Error(), stores.Close())
}

func bareHandler(node *raft.Raft) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /leads", func(w http.ResponseWriter, _ *http.Request) {
		if node.State() != raft.Leader {
			http.Error(w, "it does not", http.StatusConflict)
		}
	})
	mux.HandleFunc("GET /run", func(w http.ResponseWriter, r *http.Request) {
		writers, err1 := strconv.Atoi(r.FormValue("writers"))
		window, err2 := time.ParseDuration(r.FormValue("window"))
		if err := errors.Join(err1, err2); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		got, err := runBare(r.Context(), node, writers, window)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(got)
	})
	return mux
}

// bareResult is what a run of writers came to.
type bareResult struct{ Commands int }

const (
	bareCommandBytes = 256
	barePacked       = 1024 // as many inputs as the engine puts into one entry
)

// runBare lets writers write one command after the other, with one entry on its way at a time.
func runBare(ctx context.Context, node *raft.Raft, writers int, window time.Duration) (got bareResult, err error) {
	ctx, cancel := context.WithTimeout(ctx, window)
	defer cancel()
	queue := make(chan chan struct{}, writers)
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			done := make(chan struct{}, 1)
			for {
				select {
				case queue <- done:
				case <-ctx.Done():
					return
				}
				select {
				case <-done:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	defer all.Wait()
	for {
		var waiting []chan struct{}
		select {
		case first := <-queue:
			waiting = append(waiting, first)
		case <-ctx.Done():
			return got, nil
		}
		for more := true; more && len(waiting) < barePacked; {
			select {
			case next := <-queue:
				waiting = append(waiting, next)
			default:
				more = false
			}
		}
		if err := node.Apply(make([]byte, bareCommandBytes*len(waiting)), 10*time.Second).Error(); err != nil {
			return got, fmt.Errorf("after %d commands: %w", got.Commands, err)
		}
		got.Commands += len(waiting)
		for _, done := range waiting {
			done <- struct{}{}
		}
	}
}

// counter is a state machine that does nothing.
type counter struct{}

func (*counter) Apply(*raft.Log) any                 { return nil }
func (*counter) Snapshot() (raft.FSMSnapshot, error) { return &counter{}, nil }
func (*counter) Restore(from io.ReadCloser) error    { return from.Close() }
func (*counter) Persist(sink raft.SnapshotSink) error {
	return sink.Close()
}
func (*counter) Release() {}
