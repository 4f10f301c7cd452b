package counter

import "testing"

func TestBegin(t *testing.T) {
	for _, c := range []struct {
		state, input string
		want         uint64
		fails        bool
	}{
		{"", "", 0, false},
		{"", " 41\n", 41, false},
		{"42", "7", 42, false},
		{"", "many", 0, true},
		{"-1", "", 0, true},
	} {
		var state []byte
		if c.state != "" {
			state = []byte(c.state)
		}
		got, err := begin(state, []byte(c.input))
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("state %q, input %q: %d, %v", c.state, c.input, got, err)
		}
	}
}
