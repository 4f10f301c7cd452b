package snapshot_test

import (
	"encoding/binary"
	"testing"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// id makes an id of a kind and a number.
func id(kind byte, number uint64) []byte {
	b := make([]byte, 16)
	b[0] = kind
	binary.BigEndian.PutUint64(b[8:], number)
	return b
}

func ref(actor, generation uint64) *logv1.Ref {
	return &logv1.Ref{ActorId: id('a', actor), Generation: generation}
}

func pointer[T any](v T) *T { return &v }

// story is a short history that leaves something in every kind of record: what testdata/v1.snap holds. Never change it: add a story
// and a file for what is new.
func story() []*logv1.Op {
	return []*logv1.Op{
		{Op: &logv1.Op_LeaderEstablished{LeaderEstablished: &logv1.LeaderEstablished{ClusterId: id('c', 1), Node: "node-1"}}},
		{Op: &logv1.Op_PutSettings{PutSettings: &logv1.PutSettings{Values: []*logv1.SettingValue{{Name: "actor_stop_threshold", Value: 12_000}}}}},
		{Op: &logv1.Op_PutNamespace{PutNamespace: &logv1.PutNamespace{NamespaceId: id('n', 1), Name: "games", DisplayName: "Games"}}},
		{Op: &logv1.Op_PutPool{PutPool: &logv1.PutPool{NamespaceId: id('n', 1), Name: "rooms", Config: &logv1.PoolConfig{
			DrainOnVersionUpgrade: pointer(true), EvictionRateMicrosPerS: pointer[uint64](2_500_000), Placement: 2, MetadataJson: `{"team":"games"}`,
		}}}},
		{Op: &logv1.Op_PutPool{PutPool: &logv1.PutPool{NamespaceId: id('n', 1), Name: "old", Config: &logv1.PoolConfig{}, AutoCreated: true}}},
		{Op: &logv1.Op_DeletePool{DeletePool: &logv1.DeletePool{NamespaceId: id('n', 1), Name: "old"}}},
		register(1, "rooms-a", 1), register(2, "rooms-b", 2), register(3, "rooms-c", 3),
		{Op: &logv1.Op_RunnersSeen{RunnersSeen: &logv1.RunnersSeen{NumberDeltas: []uint32{2, 1}}}},
		{Op: &logv1.Op_StartDrain{StartDrain: &logv1.StartDrain{RunnerId: id('r', 1), Cause: uint32(fsm.DrainShutdown), DeadlineMs: 9_000, Reason: "SIGTERM"}}},
		{Op: &logv1.Op_EndRunner{EndRunner: &logv1.EndRunner{RunnerId: id('r', 1)}}}, // leaves a number that others do not use yet
		{Op: &logv1.Op_HoldOrphan{HoldOrphan: &logv1.HoldOrphan{RunnerId: id('r', 2), Ref: ref(77, 4)}}},
		create(1, "room", pointer("lobby")), create(2, "room", nil), create(3, "room", pointer("cellar")), create(4, "bell", nil),
		assign(1, 2),
		{Op: &logv1.Op_ActorRunning{ActorRunning: &logv1.ActorRunning{Ref: ref(1, 1)}}},
		{Op: &logv1.Op_SaveState{SaveState: &logv1.SaveState{Ref: ref(1, 1), State: []byte("score 7")}}},
		{Op: &logv1.Op_StopActor{StopActor: &logv1.StopActor{Ref: ref(1, 1), Reason: uint32(fsm.StopSleep), DeadlineMs: 30_000}}},
		{Op: &logv1.Op_WakeActor{WakeActor: &logv1.WakeActor{ActorId: id('a', 1)}}},
		assign(2, 3),
		{Op: &logv1.Op_ActorStopped{ActorStopped: &logv1.ActorStopped{
			Ref: ref(2, 1), Message: "out of cheese", Cause: logv1.StopCause_STOP_CAUSE_CONFIRMED,
			Next: logv1.NextState_NEXT_STATE_BACKING_OFF, RescheduleMs: 4_000, Penalty: true,
		}}},
		{Op: &logv1.Op_DestroyActor{DestroyActor: &logv1.DestroyActor{ActorId: id('a', 3)}}},
		{Op: &logv1.Op_SleepActor{SleepActor: &logv1.SleepActor{ActorId: id('a', 4)}}},
		{Op: &logv1.Op_SetAlarm{SetAlarm: &logv1.SetAlarm{ActorId: id('a', 4), AtUnixMs: 1_800_000_000_000}}},
		{Op: &logv1.Op_RememberOutcome{RememberOutcome: &logv1.RememberOutcome{Key: "caller/retry-1", Outcome: []byte{1, 2}, Fingerprint: 42}}},
		create(5, "room", nil), create(6, "room", nil),
		assign(5, 2), assign(6, 2),
		rollOut(2), rollOut(3), // the first one is superseded
		{Op: &logv1.Op_PauseRollout{PauseRollout: &logv1.PauseRollout{NamespaceId: id('n', 1), Pool: "rooms", Paused: true, Reason: "lunch"}}},
		{Op: &logv1.Op_PauseRollout{PauseRollout: &logv1.PauseRollout{NamespaceId: id('n', 1), Pool: "rooms"}}},
		{Op: &logv1.Op_StartDrain{StartDrain: &logv1.StartDrain{RunnerId: id('r', 2), Cause: uint32(fsm.DrainNewerVersion), Reason: "version 3 is there"}}},
		{Op: &logv1.Op_PlanEvictions{PlanEvictions: &logv1.PlanEvictions{
			NamespaceId: id('n', 1), Pool: "rooms", WindowFromMs: 9_000, WindowTurns: 25,
			Evictions: []*logv1.PlannedEviction{{Ref: ref(5, 1), AtMs: 9_000}, {Ref: ref(6, 1), AtMs: 9_400}},
		}}},
		{Op: &logv1.Op_EvictActor{EvictActor: &logv1.EvictActor{Ref: ref(5, 1), StopDeadlineMs: 40_000, PromisedRunnerId: id('r', 3)}}},
	}
}

func rollOut(version uint32) *logv1.Op {
	return &logv1.Op{Op: &logv1.Op_OpenRollout{OpenRollout: &logv1.OpenRollout{NamespaceId: id('n', 1), Pool: "rooms", Version: version}}}
}

func register(number uint64, key string, version uint32) *logv1.Op {
	return &logv1.Op{Op: &logv1.Op_RegisterRunner{RegisterRunner: &logv1.RegisterRunner{
		RunnerId: id('r', number), NamespaceId: id('n', 1), Pool: "rooms", Key: key, InstanceId: id('i', number), SessionId: id('s', number),
		Holder: "node-1", Version: version, Slots: 100, ThresholdMs: 15_000, MetadataJson: "{}", AdvertisedAddr: "10.0.0.1:80",
	}}}
}

func create(number uint64, name string, key *string) *logv1.Op {
	return &logv1.Op{Op: &logv1.Op_CreateActor{CreateActor: &logv1.CreateActor{
		ActorId: id('a', number), NamespaceId: id('n', 1), Name: name, Key: key, Pool: "rooms", Input: []byte("input"), CrashPolicy: 1,
	}}}
}

func assign(actor, runner uint64) *logv1.Op {
	return &logv1.Op{Op: &logv1.Op_AssignActor{AssignActor: &logv1.AssignActor{
		Ref: ref(actor, 1), RunnerId: id('r', runner), SessionId: id('s', runner), StartDeadlineMs: 60_000,
		Decision: &logv1.Decision{InPool: 3, Eligible: 2, Newest: 1, RunnerUp: 2, Rule: 1, Version: uint32(runner)},
	}}}
}

// told applies a story, one op an entry, and wants each to be accepted.
func told(t testing.TB, ops []*logv1.Op) *fsm.View {
	t.Helper()
	v := fsm.NewView()
	for i, op := range ops {
		tx := v.Begin(int64(i)*100, 1_790_000_000_000+int64(i)*100)
		if res := tx.Do(op); res.Code != fsm.CodeOK {
			t.Fatalf("op %d, %v: %s", i, op, res.Code)
		}
		v = tx.Seal(uint64(i + 1))
	}
	return v
}
