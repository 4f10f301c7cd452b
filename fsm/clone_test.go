package fsm

import (
	"reflect"
	"strings"
	"testing"

	"github.com/callboard/callboard/fsm/table"
)

// A State shares no table with its clone: what is written to the one would be in the other. The tables are found by reflection, so that one
// that is new and forgotten in State.clone is found, too.
func TestACloneSharesNoTable(t *testing.T) {
	v := NewView()
	original, found := reflect.ValueOf(&v.State).Elem(), 0
	cloned := v.clone()
	clone := reflect.ValueOf(&cloned).Elem()
	for i := range original.NumField() {
		name := original.Type().Field(i).Name
		before, ok := writableThrough(original.Field(i))
		if !ok {
			continue
		}
		found++
		if after, _ := writableThrough(clone.Field(i)); after == before {
			t.Errorf("%s: the clone has the table of the original: State.clone forgets it", name)
		}
	}
	if found < 50 {
		t.Errorf("%d tables were found, there are more", found)
	}
}

// writableThrough returns the identity with which a table is written; not ok: the field of a State is no table, nor numbers, which have one.
func writableThrough(field reflect.Value) (uintptr, bool) {
	if field.Type() == reflect.TypeFor[numbers]() {
		field = field.FieldByName("free")
	}
	switch in := field.Type().PkgPath() == reflect.TypeFor[table.Rows[int]]().PkgPath(); {
	case in && strings.HasPrefix(field.Type().Name(), "Rows["):
		return field.FieldByName("owner").Pointer(), true
	case in && strings.HasPrefix(field.Type().Name(), "Index["):
		return field.FieldByName("tree").Pointer(), true
	}
	return 0, false
}
