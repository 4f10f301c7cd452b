package scheduler

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// MaxPoolMetadata bounds the metadata of a pool, in bytes.
const MaxPoolMetadata = 64 << 10

const maxDisplayName = 128 // characters

func (s *step) createNamespace(r *callboardv1.NamespaceServiceCreateRequest) Answer {
	if !fsm.ValidName(r.GetName()) {
		return refuse(callboardv1.Refuse("namespace", "failed_to_create",
			"name: 1 to 64 of a-z, 0-9 and dash, without a leading, trailing or double dash, got %q", clipText(r.GetName())).With("field", "name"))
	}
	display := r.GetDisplayName()
	if display == "" {
		display = r.GetName()
	}
	if !fsm.Printable(display) || len(display) > 4*maxDisplayName || len([]rune(display)) > maxDisplayName || display != strings.Join(strings.Fields(display), " ") {
		return refuse(callboardv1.Refuse("namespace", "failed_to_create",
			"display_name: 1 to %d characters, none of them a control character, and only single spaces between words, got %q",
			maxDisplayName, clipText(display)).With("field", "display_name"))
	}
	id := s.mint()
	switch s.do(&logv1.Op{Op: &logv1.Op_PutNamespace{PutNamespace: &logv1.PutNamespace{NamespaceId: id[:], Name: r.GetName(), DisplayName: display}}}) {
	case fsm.CodeOK:
		return done(id[:])
	case fsm.CodeExists:
		return refuse(callboardv1.Refuse("namespace", "name_not_unique", "namespace %q exists already", r.GetName()))
	default:
		return refuse(callboardv1.Refuse("namespace", "limit_reached", "the cluster has %d namespaces, the most there can be", fsm.MaxNamespaces))
	}
}

func (s *step) putPool(r *callboardv1.PoolServicePutRequest) Answer {
	ns := s.tx.Namespace(r.GetNamespace())
	if ns == nil {
		return refuse(namespaceNotFound(r.GetNamespace()))
	}
	config, refusal := poolConfig(r)
	if refusal != nil {
		return refuse(refusal)
	}
	id := fsm.PoolID{Namespace: ns.ID, Name: r.GetName()}
	before := s.tx.Pool(id)
	if s.do(&logv1.Op{Op: &logv1.Op_PutPool{PutPool: &logv1.PutPool{NamespaceId: ns.ID[:], Name: r.GetName(), Config: config}}}) == fsm.CodeFull {
		return refuse(callboardv1.Refuse("pool", "limit_reached", "the cluster has %d pools, the most there can be", fsm.MaxPools))
	}
	s.endpointChanged(s.tx.Pool(id))
	warnings := append(warnServerless(r.GetConfig().GetServerless()), s.warnDrainOn(before, s.tx.Pool(id))...)
	return Answer{Success: &nodev1.Success{Warnings: warnings}}
}

func poolConfig(r *callboardv1.PoolServicePutRequest) (*logv1.PoolConfig, *callboardv1.Error) {
	invalid := func(format string, args ...any) (*logv1.PoolConfig, *callboardv1.Error) {
		return nil, callboardv1.Refuse("runner_config", "invalid", format, args...)
	}
	c := r.GetConfig()
	if !fsm.ValidPoolName(r.GetName()) {
		return invalid("name: 1 to 128 printable characters without space or slash")
	}
	if c == nil {
		return invalid("config: missing; to delete the pool's config use delete")
	}
	if t := c.RunnerLostThreshold; t != nil && (*t < 10 || *t > 600) {
		return invalid("runner_lost_threshold: 10 to 600 seconds, got %d", *t)
	}
	if rate := c.ActorEvictionRateMicros; rate != nil && (*rate < fsm.MinEvictionRateMicros || *rate > fsm.MaxEvictionRateMicros) {
		return invalid("actor_eviction_rate: 0.000001 to 100000 actors a second; to hold a rollout use `callboard rollout pause`, for no limit the rate `unlimited` (100000)")
	}
	if c.GetPlacement() < 0 || c.GetPlacement() > callboardv1.Placement_PLACEMENT_BINPACK {
		return invalid("placement: spread or binpack")
	}
	if !validMetadata(c.GetMetadataJson(), MaxPoolMetadata) {
		return invalid("metadata: valid JSON of at most %d bytes", MaxPoolMetadata)
	}
	serverless, refusal := serverlessConfig(c.GetServerless())
	if refusal != nil {
		return nil, refusal
	}
	return &logv1.PoolConfig{
		Serverless:            serverless,
		DrainOnVersionUpgrade: c.DrainOnVersionUpgrade, LostThresholdS: c.RunnerLostThreshold,
		EvictionDelayS: c.ActorEvictionDelay, EvictionPeriodS: c.ActorEvictionPeriod, EvictionRateMicrosPerS: c.ActorEvictionRateMicros,
		Placement: uint32(c.GetPlacement()), MetadataJson: c.GetMetadataJson(),
	}, nil
}

// validMetadata tells whether a text is empty or JSON of at most so many bytes. JSON may hold bytes that are no UTF-8; the log may not.
func validMetadata(text string, most int) bool {
	return text == "" || len(text) <= most && utf8.ValidString(text) && json.Valid([]byte(text))
}

func (s *step) deletePool(r *callboardv1.PoolServiceDeleteRequest) Answer {
	ns := s.tx.Namespace(r.GetNamespace())
	if ns == nil {
		return refuse(namespaceNotFound(r.GetNamespace()))
	}
	if s.do(&logv1.Op{Op: &logv1.Op_DeletePool{DeletePool: &logv1.DeletePool{NamespaceId: ns.ID[:], Name: r.GetName()}}}) != fsm.CodeOK {
		return refuse(callboardv1.Refuse("pool", "not_found", "pool %q has no config in namespace %q", clipText(r.GetName()), r.GetNamespace()))
	}
	if p := s.tx.Pool(fsm.PoolID{Namespace: ns.ID, Name: r.GetName()}); p != nil {
		s.endpointChanged(p)
	}
	return done(nil)
}

func (s *step) putSettings(r *callboardv1.PutSettingsRequest) Answer {
	op := &logv1.PutSettings{}
	for _, info := range fsm.Settings() { // in the settings' own order, so that equal requests give equal ops
		text, ok := r.GetValues()[info.Name]
		if !ok {
			continue
		}
		if text == "" {
			op.Values = append(op.Values, &logv1.SettingValue{Name: info.Name, Reset_: true})
			continue
		}
		value, err := parseSetting(text, info.Unit)
		if err != "" || value < info.Min || value > info.Max {
			return refuse(callboardv1.Refuse("cluster", "setting_invalid", "%s: %d to %d%s, got %q", info.Name, info.Min, info.Max, info.Unit, clipText(text)))
		}
		op.Values = append(op.Values, &logv1.SettingValue{Name: info.Name, Value: value})
	}
	if len(op.GetValues()) != len(r.GetValues()) || len(op.GetValues()) == 0 {
		return refuse(callboardv1.Refuse("cluster", "setting_unknown", "name at least one setting, and only known ones: see `callboard operator config get`"))
	}
	if code := s.do(&logv1.Op{Op: &logv1.Op_PutSettings{PutSettings: op}}); code != fsm.CodeOK {
		return refuse(callboardv1.Refuse("cluster", "setting_invalid", "the settings were refused (%v)", code))
	}
	s.tx.DirtyAllPools() // runners that were too silent may not be any more
	return done(nil)
}

// parseSetting reads a whole number, of ms with an optional unit.
func parseSetting(text, unit string) (value int64, problem string) {
	factor := int64(1)
	if unit == "ms" {
		for _, u := range []struct {
			suffix string
			ms     int64
		}{{"ms", 1}, {"s", 1000}, {"m", 60_000}, {"h", 3_600_000}} {
			if rest, ok := strings.CutSuffix(text, u.suffix); ok {
				text, factor = rest, u.ms
				break
			}
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/factor {
		return 0, "not a number"
	}
	return n * factor, ""
}
