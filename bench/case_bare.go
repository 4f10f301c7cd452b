//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/callboard/callboard/jepsen/real"
)

// bare is Raft alone: what the engine's own stores and transport carry when commands of 256 bytes do nothing, are packed into entries
// as the engine packs its own, and come from within the leader's process, so that no call is paid for. It is the ceiling.
func bare(ctx context.Context, b *bench) error {
	const nodes = 3
	var raftAddrs, httpAddrs []string
	for range nodes {
		port, err := b.FirstPort(0, 1)
		if err != nil {
			return err
		}
		raftAddrs = append(raftAddrs, "127.0.0.1:"+strconv.Itoa(port))
		httpAddrs = append(httpAddrs, "127.0.0.1:"+strconv.Itoa(port+1))
	}
	var processes []*real.Process
	for i := range nodes {
		name := fmt.Sprintf("b%d", i+1)
		p, err := b.Start(name, b.options.binaries.bench, "child-bare", "-dir", filepath.Join(b.Dir, name), "-at", strconv.Itoa(i),
			"-raft", strings.Join(raftAddrs, ","), "-http", httpAddrs[i])
		if err != nil {
			return err
		}
		processes = append(processes, p)
	}
	leader := ""
	_, err := real.Until(ctx, time.Minute, "one of them leads", func(ctx context.Context) error {
		for _, addr := range httpAddrs {
			if _, err := get(ctx, "http://"+addr+"/leads"); err == nil {
				leader = addr
				return nil
			}
		}
		return errors.New("nobody does")
	})
	if err != nil {
		return err
	}
	for _, writers := range []int{1, 100, 1000, b.scale.outstanding} {
		before, err := cpuOf(processes...)
		if err != nil {
			return err
		}
		text, err := get(ctx, fmt.Sprintf("http://%s/run?writers=%d&window=%s", leader, writers, b.scale.latency))
		if err != nil {
			return err
		}
		after, err := cpuOf(processes...)
		if err != nil {
			return err
		}
		var got bareResult
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			return err
		}
		name := fmt.Sprintf("bare/%d", writers)
		b.record.add(name+"/rate", float64(got.Commands)/b.scale.latency.Seconds())
		b.record.add(name+"/cpu", milliseconds(after-before)/float64(got.Commands))
	}
	return nil
}
