package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// print writes an answer: a table for people, or JSON with stable snake_case fields for programs.
func (g *globals) print(answer any, show func(t *table)) error {
	if g.output == "json" {
		enc := json.NewEncoder(g.out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(answer)
	}
	t := newTable(g.out)
	show(t)
	return t.tabs.Flush()
}

// render is what print would write for people.
func render(show func(t *table)) string {
	var b strings.Builder
	t := newTable(&b)
	show(t)
	_ = t.tabs.Flush() // a builder takes everything
	return b.String()
}

func newTable(out io.Writer) *table {
	return &table{tabs: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
}

// table aligns columns.
type table struct{ tabs *tabwriter.Writer }

// row writes one line. What has nothing to show gets a dash. Control characters from elsewhere do not reach a terminal.
func (t *table) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = printable(fmt.Sprint(cell))
		if texts[i] == "" {
			texts[i] = "-"
		}
	}
	_, _ = fmt.Fprintln(t.tabs, strings.Join(texts, "\t")) // Flush tells of an error
}

// line writes a sentence across all columns, after what came before.
func (t *table) line(format string, args ...any) {
	_ = t.tabs.Flush() // the last Flush tells of an error
	_, _ = fmt.Fprintln(t.tabs, printable(fmt.Sprintf(format, args...)))
	_ = t.tabs.Flush()
}

func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}

// enumText shows an enum without its prefix: ACTOR_STATE_BACKING_OFF is backing_off.
func enumText(name, prefix string) string {
	text := strings.ToLower(strings.TrimPrefix(name, prefix))
	if text == "unspecified" {
		return ""
	}
	return text
}

// ts is a time stamp (unix ms) for JSON: null when it never happened.
func ts(unixMs int64) *int64 {
	if unixMs == 0 {
		return nil
	}
	return &unixMs
}

// ago shows how long ago a time stamp is.
func ago(unixMs int64) string {
	if unixMs == 0 {
		return ""
	}
	return shortTime(time.Since(time.UnixMilli(unixMs)))
}

func shortTime(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return d.Truncate(time.Second).String()
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// clockTime shows a time stamp in the zone of who reads it.
func clockTime(unixMs int64) string {
	if unixMs == 0 {
		return ""
	}
	return time.UnixMilli(unixMs).Format("2006-01-02 15:04:05.000 MST")
}
