//go:build unix

package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// place is where and when the figures were taken.
type place struct {
	date   string
	commit string
	busy   []float64 // per cent
}

func machine() *place {
	p := &place{date: time.Now().UTC().Format("2006-01-02"), commit: "unknown"}
	if commit, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output(); err == nil {
		p.commit = strings.TrimSpace(string(commit))
	}
	if changed, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output(); err != nil || len(changed) > 0 {
		p.commit += ", with changes"
	}
	return p
}

// look measures for a second how busy the machine is with something else, before a case begins.
func (p *place) look(ctx context.Context) {
	before := busyTime()
	wait(ctx, time.Second)
	p.busy = append(p.busy, 100*(busyTime()-before).Seconds()/float64(runtime.NumCPU()))
}

// disturbance says what else the machine was doing.
func (p *place) disturbance() string {
	if len(p.busy) == 0 {
		return ""
	}
	middle, _, high := median(p.busy)
	text := fmt.Sprintf("In the seconds before the cases something else used %.0f %% of the machine, at most %.0f %%.", middle, high)
	if middle > 5 {
		text += " **It was not quiet: take the ratios, not the figures.**"
	}
	return text
}

func (p *place) String() string {
	return fmt.Sprintf("%d cores of %s, %s, %s, Go %s; %s; commit %s", runtime.NumCPU(), processor(), memoryOfMachine(), kernel(),
		strings.TrimPrefix(runtime.Version(), "go"), p.date, p.commit)
}
