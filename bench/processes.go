//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/callboard/callboard/jepsen/real"
)

// cluster starts three nodes and tells which one leads.
func (b *bench) cluster(ctx context.Context) (c *real.Cluster, leader *real.Node, followers []*real.Node, err error) {
	if c, err = b.StartCluster(ctx, "n1", "n2", "n3"); err != nil {
		return nil, nil, nil, err
	}
	if leader, err = c.Leader(ctx); err != nil {
		return nil, nil, nil, err
	}
	for _, n := range c.Nodes {
		if n != leader {
			followers = append(followers, n)
		}
	}
	return c, leader, followers, nil
}

// cpuOf adds up what processes have computed so far.
func cpuOf(processes ...*real.Process) (total time.Duration, err error) {
	for _, p := range processes {
		took, err := cpuTime(p.PID())
		if err != nil {
			return 0, err
		}
		total += took
	}
	return total, nil
}

func processesOf(c *real.Cluster) []*real.Process {
	var processes []*real.Process
	for _, n := range c.Nodes {
		processes = append(processes, n.Process)
	}
	return processes
}

// metric reads one number of a node; a name with labels is written as Prometheus writes it.
func metric(ctx context.Context, n *real.Node, name string) (float64, error) {
	text, err := get(ctx, "http://"+n.Addrs.Metrics+"/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("%s has no metric %s", n.ID, name)
}

// heapOf returns what is reachable of a node's heap: it collects garbage first.
func heapOf(ctx context.Context, n *real.Node) (bytes float64, err error) {
	text, err := get(ctx, "http://"+n.Addrs.Metrics+"/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "# HeapAlloc = "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("%s tells nothing of its heap", n.ID)
}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, res.Status)
	}
	return string(text), err
}
