package session

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Whatever happens, and however often or seldom the session looks: a runner that does what it was told has what the state wants, and
// was told nothing twice.
func TestARunnerThatObeysHasWhatTheStateWants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBooks(t, 50)
		var refs []fsm.Ref
		pick := func(phases ...fsm.Phase) (fsm.Ref, bool) {
			var fit []fsm.Ref
			for _, ref := range refs {
				a := b.view.Actor(ref.Actor)
				for _, p := range phases {
					if a.Generation == ref.Generation && a.Phase == p {
						fit = append(fit, ref)
					}
				}
			}
			if len(fit) == 0 {
				return fsm.Ref{}, false
			}
			return rapid.SampledFrom(fit).Draw(t, "ref"), true
		}
		sent := told{}
		for range rapid.IntRange(0, 5).Draw(t, "before") {
			refs = append(refs, b.start(nil))
		}
		obeys := map[fsm.Ref]string{} // what the runner was told last
		if ref, ok := pick(fsm.Starting); ok {
			sent.claimed = claims(ref)
			obeys[ref] = "start"
		}
		orphans := uint64(0)
		look := func() bool {
			d := b.next(&sent)
			for _, s := range d.GetStart() {
				ref := mustRef(t, s.GetRef())
				if was := obeys[ref]; was != "" {
					t.Fatalf("start of %v after %q", ref, was)
				}
				obeys[ref] = "start"
			}
			for _, s := range d.GetStop() {
				ref := mustRef(t, s.GetRef())
				if obeys[ref] == "stop" {
					t.Fatalf("stop of %v twice", ref)
				}
				obeys[ref] = "stop"
			}
			return d != nil
		}
		t.Repeat(map[string]func(*rapid.T){
			"create": func(t *rapid.T) {
				if b.runner().Held < 30 {
					refs = append(refs, b.start(make([]byte, rapid.SampledFrom([]int{0, 700 << 10}).Draw(t, "input"))))
				}
			},
			"running": func(t *rapid.T) {
				if ref, ok := pick(fsm.Starting); ok {
					b.running(ref)
				}
			},
			"stop": func(t *rapid.T) {
				if ref, ok := pick(fsm.Starting, fsm.Running); ok {
					b.stop(ref, rapid.SampledFrom([]fsm.StopReason{fsm.StopSleep, fsm.StopEvict, fsm.StopDestroy}).Draw(t, "reason"))
				}
			},
			"destroy": func(t *rapid.T) {
				if ref, ok := pick(fsm.Stopping); ok && !b.view.Actor(ref.Actor).Destroying {
					b.stop(ref, fsm.StopDestroy)
				}
			},
			"stopped and started again": func(t *rapid.T) {
				if ref, ok := pick(fsm.Starting, fsm.Running, fsm.Stopping); ok && !b.view.Actor(ref.Actor).Destroying {
					b.stopped(ref, logv1.NextState_NEXT_STATE_PENDING)
					refs = append(refs, b.assign(ref.Actor))
				}
			},
			"stopped": func(t *rapid.T) {
				if ref, ok := pick(fsm.Stopping); ok {
					b.stopped(ref, logv1.NextState_NEXT_STATE_DESTROYED)
				}
			},
			"orphan": func(t *rapid.T) {
				if orphans++; orphans > 20 {
					return
				}
				b.orphan(fsm.Ref{Actor: fsm.ActorID(testID(50_000 - orphans)), Generation: 1})
			},
			"look": func(t *rapid.T) { look() },
			"": func(t *rapid.T) {
				if rapid.Bool().Draw(t, "settle") {
					return
				}
				for look() {
				}
				if !sent.settled(b.runner()) {
					t.Fatal("nothing to tell, and not settled")
				}
				for a := range b.view.ActorsOf(b.runner(), 0) {
					if a.Phase == fsm.Stopping && obeys[a.Ref()] != "stop" {
						t.Fatalf("%v is stopping, the runner was told %q", a.Ref(), obeys[a.Ref()])
					}
					if a.Phase == fsm.Starting && obeys[a.Ref()] != "start" {
						t.Fatalf("%v is starting, the runner was told %q", a.Ref(), obeys[a.Ref()])
					}
				}
				for o := range b.view.OrphansOf(b.runner()) {
					if obeys[o.Ref] != "stop" {
						t.Fatalf("orphan %v was told %q", o.Ref, obeys[o.Ref])
					}
				}
			},
		})
	})
}

func mustRef(t *rapid.T, ref *callboardv1.ActorRef) fsm.Ref {
	parsed, err := parseRef(ref)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
