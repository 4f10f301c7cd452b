package httpapi

import (
	"net/http"
	"testing"
)

// TestWhatHumaRefusesHasTheStatusOfItsCode: huma tells a status alone, and a code has one status wherever it comes from.
func TestWhatHumaRefusesHasTheStatusOfItsCode(t *testing.T) {
	for _, test := range []struct {
		told, want int
		code       string
	}{
		{http.StatusUnprocessableEntity, http.StatusBadRequest, "api.bad_request"},
		{http.StatusNotAcceptable, http.StatusBadRequest, "api.bad_request"},
		{http.StatusNotFound, http.StatusNotFound, "api.not_found"},
		{http.StatusMethodNotAllowed, http.StatusMethodNotAllowed, "api.method_not_allowed"},
		{http.StatusRequestTimeout, http.StatusRequestTimeout, "api.slow_body"},
		{http.StatusRequestEntityTooLarge, http.StatusRequestEntityTooLarge, "api.payload_too_large"},
		{http.StatusUnsupportedMediaType, http.StatusUnsupportedMediaType, "api.unsupported_media_type"},
		{http.StatusBadGateway, http.StatusInternalServerError, "cluster.internal_error"},
	} {
		got := humaError(test.told, "it is wrong").(*errorBody)
		if name := got.Group + "." + got.Code; got.GetStatus() != test.want || name != test.code || got.Metadata["reason"] != "it is wrong" {
			t.Errorf("%d: %d %s %v, want %d %s and the reason", test.told, got.GetStatus(), name, got.Metadata, test.want, test.code)
		}
	}
}
