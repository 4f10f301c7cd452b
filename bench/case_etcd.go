//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/callboard/callboard/jepsen/real"
)

// etcd is what a well-known replicated store does on the same machine in the same minutes: three nodes with its defaults, on disk.
func etcd(ctx context.Context, b *bench) error {
	var clientAddrs []string
	var peers, members []string
	const nodes = 3
	ports := make([]int, nodes)
	for i := range nodes {
		port, err := b.FirstPort(0, 1)
		if err != nil {
			return err
		}
		ports[i] = port
		clientAddrs = append(clientAddrs, "127.0.0.1:"+strconv.Itoa(port))
		peers = append(peers, "http://127.0.0.1:"+strconv.Itoa(port+1))
		members = append(members, fmt.Sprintf("e%d=%s", i+1, peers[i]))
	}
	var processes []*real.Process
	for i := range nodes {
		name, url := fmt.Sprintf("e%d", i+1), "http://"+clientAddrs[i]
		p, err := b.Start(name, b.options.binaries.etcd, "--name", name, "--data-dir", filepath.Join(b.Dir, name),
			"--listen-client-urls", url, "--advertise-client-urls", url,
			"--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i],
			"--initial-cluster", strings.Join(members, ","), "--initial-cluster-state", "new", "--log-level", "warn")
		if err != nil {
			return err
		}
		processes = append(processes, p)
	}
	_, err := real.Until(ctx, time.Minute, "etcd takes puts", func(ctx context.Context) error {
		_, err := b.put(ctx, clientAddrs, 1, 0, 200*time.Millisecond)
		return err
	})
	if err != nil {
		return err
	}
	for _, clients := range []int{1, 100, 1000} {
		before, err := cpuOf(processes...)
		if err != nil {
			return err
		}
		got, err := b.put(ctx, clientAddrs, clients, b.scale.warmUp/2, b.scale.latency)
		if err != nil {
			return err
		}
		after, err := cpuOf(processes...)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("etcd/%d", clients)
		b.record.add(name+"/rate", got.PerSecond)
		b.record.add(name+"/p50", got.P50)
		b.record.add(name+"/p99", got.P99)
		counted := b.scale.latency.Seconds() / (b.scale.latency + b.scale.warmUp/2).Seconds()
		b.record.add(name+"/cpu", milliseconds(after-before)*counted/(got.PerSecond*b.scale.latency.Seconds()))
	}
	return nil
}

// putResult is what the loop of bench/etcd prints.
type putResult struct {
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
}

func (b *bench) put(ctx context.Context, addrs []string, clients int, warmUp, window time.Duration) (got putResult, err error) {
	out, err := exec.CommandContext(ctx, b.options.binaries.etcdPut, "-endpoints", strings.Join(addrs, ","), "-clients", strconv.Itoa(clients),
		"-connections", strconv.Itoa(connections), "-warm-up", warmUp.String(), "-window", window.String(), "-size", "256").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return got, err
	}
	return got, json.Unmarshal(out, &got)
}
