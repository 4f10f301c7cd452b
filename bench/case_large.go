//go:build unix

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/callboard/callboard/jepsen/real"
)

// streams is many runners that have nothing to do, all from one process, spread over the nodes.
func streams(ctx context.Context, b *bench) error {
	c, leader, _, err := b.cluster(ctx)
	if err != nil {
		return err
	}
	empty, err := residentOf(processesOf(c)...)
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := b.Start("runners", b.options.binaries.bench, "child-runners", "-endpoints", strings.Join(c.GRPCAddrs(), ","),
		"-pool", "idle", "-count", strconv.Itoa(b.scale.streams), "-slots", "10"); err != nil {
		return err
	}
	_, err = real.Until(ctx, 3*time.Minute, "all runners are connected", func(ctx context.Context) error {
		ready, err := metric(ctx, leader, `callboard_runners{state="ready"}`)
		if err == nil && int(ready) != b.scale.streams {
			err = fmt.Errorf("%.0f of %d are ready", ready, b.scale.streams)
		}
		return err
	})
	if err != nil {
		return err
	}
	b.record.add("streams/connected", time.Since(began).Seconds())
	wait(ctx, 10*time.Second) // what connecting left behind is not what idling costs
	cpu, err := cpuOf(processesOf(c)...)
	if err != nil {
		return err
	}
	from := time.Now()
	wait(ctx, b.scale.idleFor)
	after, err := cpuOf(processesOf(c)...)
	if err != nil {
		return err
	}
	b.record.add("streams/cpu", 100*(after-cpu).Seconds()/time.Since(from).Seconds())
	loaded, err := residentOf(processesOf(c)...)
	if err != nil {
		return err
	}
	b.record.add("streams/memory", (loaded-empty)/float64(b.scale.streams)/1024)
	if ready, err := metric(ctx, leader, `callboard_runners{state="ready"}`); err != nil || int(ready) != b.scale.streams {
		return fmt.Errorf("%.0f of %d runners are ready at the end: %w", ready, b.scale.streams, err)
	}
	return nil
}

func residentOf(processes ...*real.Process) (total float64, err error) {
	for _, p := range processes {
		now, _, err := memoryOf(p.PID())
		if err != nil {
			return 0, err
		}
		total += now
	}
	return total, nil
}
