// Package check says whether a history keeps the promises. Every check is a function of what was seen and nothing else: it asks
// nobody, and it can be shown a history that breaks the promise (the tests do, one for each way to break it).
package check

import "fmt"

// Verdict is what a check came to.
type Verdict struct {
	Looked int      // how many things were judged: with 0 of them nothing is shown
	Wrong  []string // a sentence for each broken promise
}

func (v *Verdict) wrong(format string, args ...any) {
	v.Wrong = append(v.Wrong, fmt.Sprintf(format, args...))
}
