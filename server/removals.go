package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	removalsFile = "members.json"
	// maxRemovals bounds the removed nodes that are remembered; the one that was removed first is forgotten.
	maxRemovals = 256
	// removalsEvery is how often the configuration is looked at.
	removalsEvery = time.Second
)

// removals remembers when nodes were seen to be no members any more, so that one that is started again can be told. It decides nothing: a
// file that is lost costs the date in a sentence.
type removals struct {
	path string
	log  *slog.Logger

	mu    sync.Mutex // not a loop: it guards the few rows for whoever asks
	known removalRows
}

type removalRows struct {
	Members []string         `json:"members"`
	Removed map[string]int64 `json:"removed_unix_ms"`
}

func loadRemovals(dir string, log *slog.Logger) *removals {
	r := &removals{path: filepath.Join(dir, removalsFile), log: log}
	data, err := os.ReadFile(r.path)
	if err == nil {
		err = json.Unmarshal(data, &r.known)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("when nodes were removed is forgotten", "error", err)
		r.known = removalRows{}
	}
	return r
}

// when returns when a node was removed; 0: not known.
func (r *removals) when(id string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known.Removed[id]
}

func (r *removals) run(ctx context.Context, configuration func() []raft.Server) error {
	tick := time.NewTicker(removalsEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		r.look(configuration())
	}
}

// look takes down who is a member now.
func (r *removals) look(configuration []raft.Server) {
	var members []string
	for _, s := range configuration {
		members = append(members, string(s.ID))
	}
	if err := r.note(members, time.Now()); err != nil {
		r.log.Warn("when nodes were removed cannot be written down", "error", err)
	}
}

// note compares the members with those of the last time.
func (r *removals) note(members []string, now time.Time) error {
	slices.Sort(members)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(members) == 0 || slices.Equal(members, r.known.Members) {
		return nil
	}
	removed := maps.Clone(r.known.Removed)
	if removed == nil {
		removed = map[string]int64{}
	}
	for _, id := range r.known.Members {
		if !slices.Contains(members, id) {
			removed[id] = now.UnixMilli()
		}
	}
	for _, id := range members {
		delete(removed, id)
	}
	for len(removed) > maxRemovals {
		delete(removed, slices.MinFunc(slices.Collect(maps.Keys(removed)), func(a, b string) int { return int(removed[a] - removed[b]) }))
	}
	r.known = removalRows{Members: members, Removed: removed}
	data, err := json.MarshalIndent(r.known, "", "  ")
	if err != nil {
		return err
	}
	temporary := r.path + ".new"
	if err := os.WriteFile(temporary, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", removalsFile, err)
	}
	return os.Rename(temporary, r.path)
}
