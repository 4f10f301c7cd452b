package raftnet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"slices"

	"github.com/hashicorp/go-hclog"
)

// levelTrace is below slog's own levels, as far from debug as debug is from info.
const levelTrace = slog.LevelDebug - 4

// Hclog lets HashiCorp's libraries log to slog, under the component's name. The level is the one of log.
func Hclog(log *slog.Logger, component string) hclog.Logger {
	return &bridge{base: log, log: log.With("component", component), name: component}
}

type bridge struct {
	base    *slog.Logger // without name and implied arguments
	log     *slog.Logger
	name    string
	implied []any
}

var _ hclog.Logger = (*bridge)(nil)

func (b *bridge) Log(level hclog.Level, message string, args ...any) {
	if !b.enabled(level) {
		return
	}
	args = slices.Clone(args)
	for i, arg := range args {
		// hclog.Fmt("%+v", x): a format and its operands, to be expanded only when the line is written.
		if format, ok := arg.(hclog.Format); ok && len(format) > 0 {
			args[i] = fmt.Sprintf(fmt.Sprint(format[0]), format[1:]...)
		}
	}
	b.log.Log(context.Background(), toSlog(level), message, args...)
}

func (b *bridge) Trace(message string, args ...any) { b.Log(hclog.Trace, message, args...) }
func (b *bridge) Debug(message string, args ...any) { b.Log(hclog.Debug, message, args...) }
func (b *bridge) Info(message string, args ...any)  { b.Log(hclog.Info, message, args...) }
func (b *bridge) Warn(message string, args ...any)  { b.Log(hclog.Warn, message, args...) }
func (b *bridge) Error(message string, args ...any) { b.Log(hclog.Error, message, args...) }

func (b *bridge) IsTrace() bool { return b.enabled(hclog.Trace) }
func (b *bridge) IsDebug() bool { return b.enabled(hclog.Debug) }
func (b *bridge) IsInfo() bool  { return b.enabled(hclog.Info) }
func (b *bridge) IsWarn() bool  { return b.enabled(hclog.Warn) }
func (b *bridge) IsError() bool { return b.enabled(hclog.Error) }

func (b *bridge) enabled(level hclog.Level) bool {
	return b.log.Enabled(context.Background(), toSlog(level))
}

func (b *bridge) ImpliedArgs() []any { return b.implied }
func (b *bridge) Name() string       { return b.name }

func (b *bridge) With(args ...any) hclog.Logger {
	return &bridge{base: b.base, log: b.log.With(args...), name: b.name, implied: slices.Concat(b.implied, args)}
}

func (b *bridge) Named(name string) hclog.Logger { return b.ResetNamed(b.name + "." + name) }

func (b *bridge) ResetNamed(name string) hclog.Logger {
	return &bridge{base: b.base, log: b.base.With("component", name).With(b.implied...), name: name, implied: b.implied}
}

// SetLevel does nothing: the level belongs to the program's logger.
func (b *bridge) SetLevel(hclog.Level) {}

func (b *bridge) GetLevel() hclog.Level {
	for _, level := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn, hclog.Error} {
		if b.enabled(level) {
			return level
		}
	}
	return hclog.Off
}

func (b *bridge) StandardLogger(options *hclog.StandardLoggerOptions) *log.Logger {
	return log.New(b.StandardWriter(options), "", 0)
}

func (b *bridge) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return infoLines{b} }

// infoLines takes lines without a level.
type infoLines struct{ bridge *bridge }

func (w infoLines) Write(line []byte) (int, error) {
	w.bridge.Info(string(bytes.TrimSpace(line)))
	return len(line), nil
}

func toSlog(level hclog.Level) slog.Level {
	switch {
	case level == hclog.Trace:
		return levelTrace
	case level == hclog.Debug:
		return slog.LevelDebug
	case level == hclog.Warn:
		return slog.LevelWarn
	case level >= hclog.Error:
		return slog.LevelError
	}
	return slog.LevelInfo
}
