package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// screen shows how something goes on: on a terminal one block that is drawn anew, elsewhere a line for each change.
type screen struct {
	out   io.Writer
	width int // of the terminal; 0: it is none
	drawn int // lines of the block that is there
	last  string
}

// newScreen looks at what it writes to.
func newScreen(out io.Writer) *screen {
	s := &screen{out: out}
	f, isFile := out.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return s
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil {
		s.width = width
	}
	return s
}

// show shows the block on a terminal, and elsewhere the line, if it is another one than before.
func (s *screen) show(block, line string) {
	if s.width == 0 {
		if line != s.last {
			s.last = line
			s.write(time.Now().Format(time.TimeOnly) + "  " + printable(line) + "\n")
		}
		return
	}
	lines := strings.Split(strings.TrimRight(block, "\n"), "\n")
	var b strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn)
	}
	b.WriteString("\r\x1b[J") // from here on nothing is left of what was drawn
	for _, l := range lines {
		b.WriteString(clipTo(printable(l), s.width-1)) // a line that wraps would not be counted
		b.WriteByte('\n')
	}
	s.drawn = len(lines)
	s.write(b.String())
}

// note leaves a line that is not drawn over.
func (s *screen) note(format string, args ...any) {
	s.drawn = 0
	s.write(printable(fmt.Sprintf(format, args...)) + "\n")
}

func (s *screen) write(text string) { _, _ = io.WriteString(s.out, text) } // nowhere to tell that it is broken

func clipTo(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:max(0, most-1)]) + "…"
}

// bar draws a share of a whole.
func bar(done, total uint32) string {
	const width = 40
	filled := width
	if total > 0 {
		filled = int(uint64(done) * width / uint64(total))
	}
	return "[" + strings.Repeat("#", filled) + strings.Repeat(".", width-filled) + "]"
}

func percent(done, total uint32) uint64 {
	if total == 0 {
		return 100
	}
	return uint64(done) * 100 / uint64(total)
}
