package raftnet

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// BenchmarkTheMark tells what the mark costs: appends with it, as a share of the appends of the same log without it. Both are made in turns,
// on one disk, so that the share means something where the rates do not. It should stay above 0.97.
func BenchmarkTheMark(b *testing.B) {
	for _, size := range []int{300, 20_000} {
		b.Run(fmt.Sprintf("%d bytes", size), func(b *testing.B) {
			dir := b.TempDir()
			stores, err := Open(filepath.Join(dir, "marked"), Options{NodeID: damagedNode, Log: quiet})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = stores.Close() }()
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error)
			go func() { ended <- stores.Run(ctx) }()
			bare := filepath.Join(dir, "bare.db")
			bolt, err := openLog(bare)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = bolt.Close() }()
			logs := []raft.LogStore{
				newLogCache(logCacheBytes, watchedLog{sealed{gradual{bolt}, bare}, newFailure(quiet)}),
				stores.Log,
			}
			const turn = 50 // appends
			data := make([]byte, size)
			var took [2]time.Duration
			var shares []float64
			next := [2]uint64{1, 1}
			for i := 0; i < b.N; i += turn {
				var now [2]time.Duration
				for which := range logs {
					if i/turn%2 == 1 {
						which = 1 - which
					}
					began := time.Now()
					for range turn {
						if err := logs[which].StoreLogs([]*raft.Log{{Index: next[which], Term: 1, Data: data}}); err != nil {
							b.Fatal(err)
						}
						next[which]++
					}
					now[which] = time.Since(began)
					took[which] += now[which]
				}
				shares = append(shares, float64(now[0])/float64(now[1]))
			}
			cancel()
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
			slices.Sort(shares)
			b.ReportMetric(shares[len(shares)/2], "of-bare") // the median turn: a single one may meet whatever else the machine does
			b.ReportMetric(float64(next[1]-1)/took[1].Seconds(), "appends/s")
		})
	}
}
