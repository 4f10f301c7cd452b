package grpcapi

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func settingMessages(v *fsm.View) []*callboardv1.Setting {
	var messages []*callboardv1.Setting
	for _, info := range fsm.Settings() {
		m := &callboardv1.Setting{Name: info.Name, Value: settingText(info.Unit, effectiveSetting(v, info.Setting)), Source: "default", Description: info.Description}
		if v.SettingIsSet(info.Setting) {
			m.Source = "set"
		}
		messages = append(messages, m)
	}
	return messages
}

// effectiveSetting returns the value in force: a 0 that stands for a share of another setting is worked out.
func effectiveSetting(v *fsm.View, which fsm.Setting) int64 {
	value := v.Setting(which)
	if which == fsm.RunnerEligibleThreshold && value == 0 {
		return v.Setting(fsm.RunnerLostThreshold) * 2 / 3
	}
	return value
}

// settingText shows a value with its unit, as parseSetting reads it.
func settingText(unit string, value int64) string {
	switch unit {
	case "ms":
		return timeText(value)
	case "bytes":
		return sizeText(value)
	default:
		return strconv.FormatInt(value, 10)
	}
}

// sizeText is exact: 1GiB, 1536MiB, 1000B.
func sizeText(value int64) string {
	for _, u := range byteUnits {
		if value >= u.factor && value%u.factor == 0 {
			return strconv.FormatInt(value/u.factor, 10) + u.suffix
		}
	}
	return strconv.FormatInt(value, 10) + "B"
}

func timeText(value int64) string {
	text := (time.Duration(value) * time.Millisecond).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// byteUnits are the largest first; the one that ends the names of the others is the last.
var byteUnits = []struct {
	suffix string
	factor int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// parseSetting reads a value: a bare number is in the setting's own unit (ms or bytes).
func parseSetting(unit, text string) (int64, bool) {
	if value, err := strconv.ParseInt(text, 10, 64); err == nil {
		return value, true
	}
	switch unit {
	case "ms":
		d, err := time.ParseDuration(text)
		return d.Milliseconds(), err == nil && d%time.Millisecond == 0
	case "bytes":
		for _, u := range byteUnits {
			if number, ok := strings.CutSuffix(text, u.suffix); ok {
				value, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
				return value * u.factor, err == nil && value <= (1<<62)/u.factor && value >= 0
			}
		}
	}
	return 0, false
}

// GetSettings answers with every cluster setting: its effective value and where it comes from.
func (s *clusterService) GetSettings(ctx context.Context, req *callboardv1.GetSettingsRequest) (*callboardv1.GetSettingsResponse, error) {
	view, err := s.view(ctx, req.GetConsistency())
	if err != nil {
		return nil, err
	}
	return &callboardv1.GetSettingsResponse{Settings: settingMessages(view), Index: view.Index()}, nil
}

// PutSettings changes settings, all or none. The command carries bare numbers in each setting's own unit; an empty value resets.
func (s *clusterService) PutSettings(ctx context.Context, req *callboardv1.PutSettingsRequest) (*callboardv1.PutSettingsResponse, error) {
	if len(req.GetValues()) == 0 {
		return nil, badField("values", "no setting is named: want one or more name=value, such as runner_lost_threshold=15s")
	}
	values := map[string]string{}
	for name, text := range req.GetValues() {
		value, refusal := checkSetting(name, text)
		if refusal != nil {
			return nil, refusal
		}
		values[name] = value
	}
	_, view, index, err := s.submit(ctx, req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_PutSettings{
		PutSettings: &callboardv1.PutSettingsRequest{Values: values},
	}})
	if err != nil {
		return nil, err
	}
	return &callboardv1.PutSettingsResponse{Settings: settingMessages(view), Index: index}, nil
}

func checkSetting(name, text string) (string, *callboardv1.Error) {
	info, known := fsm.SettingByName(name)
	if !known {
		return "", refuseSetting("setting_unknown", name, "there is no setting %q: known are %s", clip(name), settingNames())
	}
	if text == "" {
		return "", nil
	}
	value, ok := parseSetting(info.Unit, text)
	if !ok {
		return "", refuseSetting("setting_invalid", name, "%s: %q is not a value: want %s", name, clip(text), unitWords(info.Unit))
	}
	if value < info.Min || value > info.Max {
		return "", refuseSetting("setting_invalid", name, "%s: %s is out of range: want %s to %s", name, settingText(info.Unit, value), settingText(info.Unit, info.Min), settingText(info.Unit, info.Max)).
			With("min", settingText(info.Unit, info.Min)).With("max", settingText(info.Unit, info.Max))
	}
	return strconv.FormatInt(value, 10), nil
}

func unitWords(unit string) string {
	switch unit {
	case "ms":
		return "a time such as 15s, 1m30s or 500ms; a bare number counts milliseconds"
	case "bytes":
		return "a size such as 512MiB or 1GiB; a bare number counts bytes"
	default:
		return "a whole number"
	}
}

func settingNames() string {
	var names []string
	for _, info := range fsm.Settings() {
		names = append(names, info.Name)
	}
	return strings.Join(names, ", ")
}

func refuseSetting(code, name, format string, args ...any) *callboardv1.Error {
	return callboardv1.Refuse("cluster", code, format, args...).With("field", name)
}
