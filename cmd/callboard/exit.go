package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Exit codes of client commands.
const (
	exitOK          = 0
	exitRefused     = 1
	exitUsage       = 2
	exitUnknown     = 3
	exitUnreachable = 4
	exitWouldMove   = 10 // rollout plan
)

// usageError is a command line that cannot be meant.
type usageError struct {
	command string // to ask for help
	text    string
}

func (e *usageError) Error() string { return e.text }

func usage(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{command: cmd.CommandPath(), text: fmt.Sprintf(format, args...)}
}

// asUsage makes an error one of usage, unless it is one already.
func asUsage(cmd *cobra.Command, err error) error {
	var wrong *usageError
	if errors.As(err, &wrong) {
		return err
	}
	return usage(cmd, "%v", err)
}

// exitError is an error with an exit code of its own, such as the runner library's.
type exitError interface {
	error
	ExitCode() int
}

// quietExit ends the process with a code when everything is said already.
type quietExit int

func (quietExit) Error() string   { return "" }
func (q quietExit) ExitCode() int { return int(q) }

func exitCode(err error) int {
	var (
		own         exitError
		wrong       *usageError
		unreachable *client.UnreachableError
		late        *client.TimeoutError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &own):
		return own.ExitCode()
	case errors.As(err, &wrong):
		return exitUsage
	case errors.Is(err, callboardv1.ErrOutcomeUnknown):
		return exitUnknown
	case errors.As(err, &unreachable), errors.As(err, &late):
		return exitUnreachable
	default:
		return exitRefused
	}
}

// printError says what happened, why, and what to do.
// printLast prints why the command ends. A node or a runner ends also when nobody reads that.
func (g *globals) printLast(err error) {
	if !g.service {
		g.printError(err)
		return
	}
	printed := make(chan struct{})
	go func() { // ends with the process at the latest
		defer close(printed)
		g.printError(err)
	}()
	select {
	case <-printed:
	case <-time.After(lastWords):
	}
}

func (g *globals) printError(err error) {
	if err.Error() == "" {
		return
	}
	if g.output == "json" {
		g.printErrorJSON(err)
		return
	}
	g.progress("Error: %v", plain(err))
	var (
		wrong       *usageError
		unreachable *client.UnreachableError
	)
	if errors.As(err, &wrong) {
		g.progress("See `%s --help`.", wrong.command)
	}
	if errors.As(err, &unreachable) {
		g.progress("Is a node running there? Start one with `callboard dev`, or name others with --address or CALLBOARD_ADDRESS.")
	}
	if refusal, ok := callboardv1.AsRefusal(err); ok {
		g.progress("Code: %s", refusal.Name())
		if key := refusal.GetMetadata()["idempotency_key"]; key != "" {
			g.progress("Retry: the same command with --idempotency-key %s takes effect once, whatever became of this one.", key)
		}
	}
}

// plain is a refusal's own text, without its code in front.
func plain(err error) string {
	if refusal, ok := callboardv1.AsRefusal(err); ok {
		return refusal.GetMessage()
	}
	return err.Error()
}

func (g *globals) printErrorJSON(err error) {
	e := errorJSON{Group: "cli", Code: "failed", Message: err.Error(), ExitCode: exitCode(err)}
	var (
		wrong       *usageError
		unreachable *client.UnreachableError
		late        *client.TimeoutError
	)
	switch refusal, refused := callboardv1.AsRefusal(err); {
	case refused:
		e.Group, e.Code, e.Message, e.Metadata = refusal.GetGroup(), refusal.GetCode(), refusal.GetMessage(), refusal.GetMetadata()
	case errors.As(err, &wrong):
		e.Code = "usage"
	case errors.As(err, &unreachable):
		e.Code = "unreachable"
	case errors.As(err, &late):
		e.Code = "timeout"
	}
	text, marshalErr := json.Marshal(struct {
		Error errorJSON `json:"error"`
	}{e})
	if marshalErr != nil {
		g.progress("Error: %v", err)
		return
	}
	g.progress("%s", text)
}

type errorJSON struct {
	Group    string            `json:"group"`
	Code     string            `json:"code"`
	Message  string            `json:"message"`
	Metadata map[string]string `json:"metadata,omitempty"`
	ExitCode int               `json:"exit_code"`
}
