package fsm

import logv1 "github.com/callboard/callboard/proto/callboard/log/v1"

// Setting names one replicated cluster setting.
type Setting uint8

// The cluster settings (times in ms).
const (
	ActorStartThreshold Setting = iota
	ActorStopThreshold
	RunnerLostThreshold
	RunnerEligibleThreshold // 0: two thirds of the lost threshold
	BaseRetryTimeout
	RescheduleBackoffMaxExponent
	RetryResetDuration
	DefaultMetadataPollInterval
	StoredBytesLimit
	ServerlessOpenRate
	ServerlessHalfOpen
	settingCount
)

// SettingInfo describes a setting: its name at the doors, its default and its range.
type SettingInfo struct {
	Setting     Setting
	Name        string
	Unit        string // ms, bytes, or empty
	Default     int64
	Min, Max    int64
	Description string
}

const (
	minuteMs = 60_000
	hourMs   = 60 * minuteMs
)

var settingInfos = [settingCount]SettingInfo{
	{ActorStartThreshold, "actor_start_threshold", "ms", 30_000, 1_000, 30 * minuteMs, "how long a started actor may take to report that it runs"},
	{ActorStopThreshold, "actor_stop_threshold", "ms", 30_000, 2_000, 30 * minuteMs, "how long an actor may take to stop"},
	{RunnerLostThreshold, "runner_lost_threshold", "ms", 15_000, 10_000, 600_000, "how long a runner may be silent before it is lost"},
	{RunnerEligibleThreshold, "runner_eligible_threshold", "ms", 0, 0, 600_000, "how long a runner may be silent and still get actors; 0 is two thirds of runner_lost_threshold"},
	{BaseRetryTimeout, "base_retry_timeout", "ms", 2_000, 10, 10 * minuteMs, "first wait of the back-off"},
	{RescheduleBackoffMaxExponent, "reschedule_backoff_max_exponent", "", 8, 0, 16, "how often the back-off doubles"},
	{RetryResetDuration, "retry_reset_duration", "ms", 10 * minuteMs, 1_000, 24 * hourMs, "time without a retry after which the back-off starts over"},
	{DefaultMetadataPollInterval, "default_metadata_poll_interval", "ms", 10_000, 5_000, hourMs, "how often serverless pools are asked for their version"},
	{StoredBytesLimit, "stored_bytes_limit", "bytes", 1 << 30, 1 << 20, 64 << 30, "total of all actor inputs and saved states"},
	{ServerlessOpenRate, "serverless_open_rate", "", 8, 1, 500, "how many requests a serverless pool opens in a second at most"},
	{ServerlessHalfOpen, "serverless_half_open_limit", "", 64, 1, 1_000, "how many requests of a serverless pool may wait for their runners at once"},
}

// Settings lists every cluster setting in a stable order.
func Settings() []SettingInfo { return settingInfos[:] }

// SettingByName finds a setting by its name at the doors.
func SettingByName(name string) (SettingInfo, bool) {
	for _, info := range settingInfos {
		if info.Name == name {
			return info, true
		}
	}
	return SettingInfo{}, false
}

type settings struct {
	values [settingCount]int64
	set    [settingCount]bool
}

// Setting returns the effective value.
func (s *State) Setting(which Setting) int64 { return s.settings.of(which) }

func (s *settings) of(which Setting) int64 {
	if !s.set[which] {
		return settingInfos[which].Default
	}
	return s.values[which]
}

// SettingIsSet tells whether the value was set, and is not the default.
func (s *State) SettingIsSet(which Setting) bool { return s.settings.set[which] }

func (tx *Tx) putSettings(op *logv1.PutSettings) Result {
	for _, v := range op.GetValues() {
		info, ok := SettingByName(v.GetName())
		if !ok {
			return refuse(CodeMalformed)
		}
		if !v.GetReset_() && (v.GetValue() < info.Min || v.GetValue() > info.Max) {
			return refuse(CodeMalformed)
		}
	}
	next := tx.settings
	for _, v := range op.GetValues() {
		info, _ := SettingByName(v.GetName())
		next.set[info.Setting], next.values[info.Setting] = true, v.GetValue()
		if v.GetReset_() {
			next.set[info.Setting], next.values[info.Setting] = false, 0
		}
	}
	changes := func(which Setting) bool { return next.of(which) != tx.Setting(which) }
	if !changes(RunnerEligibleThreshold) && !changes(ActorStopThreshold) {
		tx.settings = next
		return Result{}
	}
	var runners []*Runner
	for k := range tx.poolRunners.All() {
		runners = append(runners, tx.runners.Get(k.number))
	}
	tx.rekeyRunners(runners, func() { tx.settings = next })
	return Result{}
}
