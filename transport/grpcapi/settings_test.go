package grpcapi

import (
	"testing"

	"pgregory.net/rapid"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func TestSettingsHaveUnits(t *testing.T) {
	for _, test := range []struct {
		unit, text string
		want       int64
	}{
		{"ms", "15s", 15_000},
		{"ms", "1m30s", 90_000},
		{"ms", "250ms", 250},
		{"ms", "15000", 15_000},
		{"bytes", "1GiB", 1 << 30},
		{"bytes", "512 MiB", 512 << 20},
		{"bytes", "77", 77},
		{"", "8", 8},
	} {
		if got, ok := parseSetting(test.unit, test.text); !ok || got != test.want {
			t.Errorf("%s %q: %d, %v; want %d", test.unit, test.text, got, ok, test.want)
		}
	}
	for _, test := range [][2]string{{"ms", ""}, {"ms", "1.0001ms"}, {"bytes", "-1GiB"}, {"bytes", "1GB"}, {"", "8s"}, {"", "eight"}} {
		if got, ok := parseSetting(test[0], test[1]); ok {
			t.Errorf("%s %q was read as %d", test[0], test[1], got)
		}
	}
}

// TestWhatIsShownCanBeWritten reads back every value that a setting may show.
func TestWhatIsShownCanBeWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.SampledFrom([]string{"ms", "bytes", ""}).Draw(t, "unit")
		value := rapid.Int64Range(0, 64<<30).Draw(t, "value")
		text := settingText(unit, value)
		if got, ok := parseSetting(unit, text); !ok || got != value {
			t.Fatalf("%d %s is shown as %q, which is read as %d", value, unit, text, got)
		}
	})
}

func TestSettingsAreSetAndReset(t *testing.T) {
	_, api := newAPI(0)
	put := func(values map[string]string) map[string]*callboardv1.Setting {
		answer, err := api.ClusterInfo().PutSettings(t.Context(), &callboardv1.PutSettingsRequest{Values: values})
		if err != nil {
			t.Fatal(err)
		}
		settings := map[string]*callboardv1.Setting{}
		for _, s := range answer.GetSettings() {
			settings[s.GetName()] = s
		}
		return settings
	}
	s := put(map[string]string{"runner_lost_threshold": "30s", "stored_bytes_limit": "2GiB", "default_metadata_poll_interval": "20s"})
	if l := s["runner_lost_threshold"]; l.GetValue() != "30s" || l.GetSource() != "set" {
		t.Errorf("set: %v", l)
	}
	if l := s["runner_eligible_threshold"]; l.GetValue() != "20s" || l.GetSource() != "default" {
		t.Errorf("two thirds of it: %v", l)
	}
	if l := s["default_metadata_poll_interval"]; l.GetValue() != "20s" || l.GetSource() != "set" {
		t.Errorf("how often endpoints are asked: %v", l)
	}
	if l := s["stored_bytes_limit"]; l.GetValue() != "2GiB" {
		t.Errorf("bytes: %v", l)
	}
	for value, want := range map[int64]string{-1: "-1B", 0: "0B", 1000: "1000B", 1 << 20: "1MiB", 1536 << 20: "1536MiB", 1<<30 + 1: "1073741825B"} {
		if got := settingText("bytes", value); got != want {
			t.Errorf("%d bytes are shown as %s, want %s", value, got, want)
		}
	}
	s = put(map[string]string{"runner_lost_threshold": ""})
	if l := s["runner_lost_threshold"]; l.GetValue() != "15s" || l.GetSource() != "default" {
		t.Errorf("reset: %v", l)
	}
	if l := s["retry_reset_duration"]; l.GetValue() != "10m" {
		t.Errorf("minutes: %v", l)
	}
}
