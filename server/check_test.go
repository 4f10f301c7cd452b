package server

import "github.com/callboard/callboard/fsm"

func checkAll(v *fsm.View) error {
	if c, ok := any(v).(interface{ CheckAll() error }); ok {
		return c.CheckAll()
	}
	return nil
}
