package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Times of a command that follows something until its end.
const (
	firstLook      = 100 * time.Millisecond
	nextLook       = time.Second
	longestLook    = 10 * time.Second
	followPatience = time.Minute // how long it goes on without an answer
)

// errInterrupted ends a command that only looked on: what it looked at goes on.
var errInterrupted = errors.New("interrupted")

// follow connects, and asks again and again until done. An election and a node that is away pass; the time-out is that of one answer.
// It ends with errInterrupted when somebody interrupts the command.
func (g *globals) follow(cmd *cobra.Command, ask func(ctx context.Context, c *client.Client) (done bool, err error)) error {
	c, err := g.client(cmd)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // all calls have ended
	ctx := cmd.Context()
	var answered time.Time // never: what was not reached at first is told at once
	pause := firstLook
	for {
		asked := time.Now()
		done, err := g.once(ctx, c, ask)
		switch {
		case ctx.Err() != nil:
			return errInterrupted
		case err == nil && done:
			return nil
		case err == nil:
			answered = time.Now()
		case !passes(err) || time.Since(answered) > followPatience:
			return err
		default:
			g.progress("No answer: %v. Still trying.", plain(err))
		}
		select {
		case <-time.After(max(pause, min(4*time.Since(asked), longestLook))): // an answer that cost the node much is not asked for again and again
		case <-ctx.Done():
			return errInterrupted
		}
		pause = min(2*pause, nextLook)
	}
}

func (g *globals) once(ctx context.Context, c *client.Client, ask func(ctx context.Context, c *client.Client) (bool, error)) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	return ask(ctx, c)
}

// passes tells an error that another attempt may not meet.
func passes(err error) bool {
	var unreachable *client.UnreachableError
	return errors.As(err, &unreachable) || isTimeout(err) || errors.Is(err, callboardv1.ErrNoLeader) || errors.Is(err, callboardv1.ErrOverloaded)
}
