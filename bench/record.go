//go:build unix

package main

import (
	"slices"
	"sync"
	"time"
)

// record holds all figures of a run: one value per round, under a name.
type record struct {
	mu     sync.Mutex // cases measure several things at once
	values map[string][]float64
}

func newRecord() *record { return &record{values: map[string][]float64{}} }

func (r *record) add(name string, value float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.values[name] = append(r.values[name], value)
}

// addTimes records the median and the 99th percentile, in milliseconds.
func (r *record) addTimes(name string, times []time.Duration) {
	slices.Sort(times)
	r.add(name+"/p50", milliseconds(quantile(times, 0.50)))
	r.add(name+"/p99", milliseconds(quantile(times, 0.99)))
	r.add(name+"/max", milliseconds(quantile(times, 1)))
}

func (r *record) of(name string) []float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.values[name])
}

// ratios divides what belongs to the same round.
func (r *record) ratios(over, under string) []float64 {
	a, b := r.of(over), r.of(under)
	var out []float64
	for i := range min(len(a), len(b)) {
		out = append(out, a[i]/b[i])
	}
	return out
}

// quantile of sorted times; 0 without any.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func median(values []float64) (middle, low, high float64) {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	middle = sorted[n/2]
	if n%2 == 0 {
		middle = (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return middle, sorted[0], sorted[n-1]
}
