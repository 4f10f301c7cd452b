package gossip

import (
	"context"
	"log"
	"log/slog"
	"strings"
)

// levels are the marks that memberlist writes in front of its lines.
var levels = []struct {
	mark  string
	level slog.Level
}{
	{"[DEBUG]", slog.LevelDebug},
	{"[INFO]", slog.LevelInfo},
	{"[WARN]", slog.LevelWarn},
	{"[ERROR]", slog.LevelError},
	{"[ERR]", slog.LevelError},
}

// standardLog lets memberlist write to slog.
func standardLog(to *slog.Logger) *log.Logger {
	return log.New(lines{to.With("component", "gossip")}, "", 0)
}

type lines struct{ to *slog.Logger }

func (l lines) Write(line []byte) (int, error) {
	message, level := strings.TrimSpace(string(line)), slog.LevelInfo
	for _, known := range levels {
		if rest, ok := strings.CutPrefix(message, known.mark); ok {
			message, level = strings.TrimSpace(rest), known.level
			break
		}
	}
	if strings.Contains(message, "Got ping for unexpected node") {
		level = slog.LevelDebug // others ask for the former start of this node, or for another that had its address
	}
	l.to.Log(context.Background(), level, strings.TrimPrefix(message, "memberlist: "))
	return len(line), nil
}
