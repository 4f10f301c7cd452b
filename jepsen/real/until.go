//go:build unix

package real

import (
	"context"
	"fmt"
	"time"
)

// Until looks again and again whether something is so, and returns how long that took. ready returns what is missing, or nothing.
func Until(ctx context.Context, limit time.Duration, what string, ready func(ctx context.Context) error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		missing := ready(ctx)
		if missing == nil {
			return time.Since(began), nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return time.Since(began), fmt.Errorf("%s: not within %v: %w", what, time.Since(began).Round(time.Millisecond), missing)
		}
	}
}
