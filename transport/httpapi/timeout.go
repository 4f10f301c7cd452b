package httpapi

import (
	"math"
	"strconv"
	"time"
)

// parseTimeout reads a time such as 30s, or milliseconds; empty is 0, the default. A time of zero that is given means not to wait, for
// which the operations know 1 ms.
func parseTimeout(given string) (ms uint32, err error) {
	if given == "" {
		return 0, nil
	}
	value, parseErr := strconv.ParseInt(given, 10, 64)
	if parseErr != nil {
		d, parseErr := time.ParseDuration(given)
		if parseErr != nil {
			return 0, badRequest("timeout", "want a time such as 30s or 1m30s, or a number of milliseconds")
		}
		value = d.Milliseconds()
	}
	if value < 0 || value > math.MaxUint32 {
		return 0, badRequest("timeout", "want 0 to 10m")
	}
	return uint32(max(1, value)), nil
}
