package check

import (
	"maps"
	"slices"

	"github.com/callboard/callboard/jepsen/history"
)

// identity is what a client calls an actor by.
type identity struct{ name, key string }

func identityOf(e history.Event) identity { return identity{name: e.Name, key: e.Key} }

// Durable says whether the final reading, which must include destroyed actors, has every acknowledged write: what was created is
// there, what was destroyed is not alive, and nothing is there that nobody asked for, or was refused to all who did.
func Durable(events []history.Event, final []history.Actor) Verdict {
	var v Verdict
	now := byID(final)
	asked := map[identity]int{} // by how many calls that may have taken effect
	for _, e := range events {
		switch {
		case e.Kind == history.Invoke && creates(e):
			asked[identityOf(e)]++
		case e.Kind == history.Refused && creates(e):
			asked[identityOf(e)]--
		case e.Kind == history.OK && creates(e):
			v.Looked++
			is, there := now[e.Actor]
			switch {
			case !there:
				v.wrong("%s of %s %s was acknowledged to %s with id %s, and it is not there", e.Op, e.Name, e.Key, e.Process, e.Actor)
			case is.Name != e.Name || is.Key != e.Key:
				v.wrong("actor %s was acknowledged as %s %s and is %s %s", e.Actor, e.Name, e.Key, is.Name, is.Key)
			}
		case e.Kind == history.OK && e.Op == history.Destroy:
			v.Looked++
			if is, there := now[e.Actor]; there && is.Live() {
				v.wrong("the end of %s was acknowledged to %s, and it is %s", e.Actor, e.Process, is.State)
			}
		default:
		}
	}
	for _, a := range final {
		v.Looked++
		if asked[identity{name: a.Name, key: a.Key}] == 0 {
			v.wrong("actor %s (%s %s) is there, and all who asked for it, if any, were refused", a.ID, a.Name, a.Key)
		}
	}
	return v
}

func creates(e history.Event) bool { return e.Op == history.Create || e.Op == history.GetOrCreate }

// UniqueKeys says whether at most one live actor of the reading has each name and key.
func UniqueKeys(actors []history.Actor) Verdict {
	var v Verdict
	holders := map[identity][]string{}
	for _, a := range actors {
		if !a.Live() || a.Key == "" {
			continue
		}
		v.Looked++
		who := identity{name: a.Name, key: a.Key}
		holders[who] = append(holders[who], a.ID)
	}
	for who, ids := range holders {
		if len(ids) > 1 {
			v.wrong("%d live actors have the name %s and the key %s: %v", len(ids), who.name, who.key, ids)
		}
	}
	slices.Sort(v.Wrong)
	return v
}

// OneHolder says whether everybody who asked for a key was told the same actor, and whether two creations of it were never both
// acknowledged. Keys that somebody asked to destroy are left out: they may change hands.
func OneHolder(events []history.Event) Verdict {
	var v Verdict
	told := map[identity]map[string]int{} // key → actor → how often it was created, as far as callers were told
	released := map[string]bool{}
	for _, e := range events {
		switch {
		case e.Kind == history.Invoke && e.Op == history.Destroy:
			released[e.Actor] = true
		case e.Kind == history.OK && creates(e) && e.Key != "":
			who := identityOf(e)
			if told[who] == nil {
				told[who] = map[string]int{}
			}
			told[who][e.Actor] += 0
			if e.Op == history.Create {
				told[who][e.Actor]++
			}
		default:
		}
	}
	for who, actors := range told {
		ids := slices.Sorted(maps.Keys(actors))
		if slices.ContainsFunc(ids, func(id string) bool { return released[id] }) {
			continue
		}
		v.Looked++
		if len(ids) > 1 {
			v.wrong("callers were told different actors for %s %s: %v", who.name, who.key, ids)
		}
		for _, id := range ids {
			if actors[id] > 1 {
				v.wrong("%d callers were told that they created %s %s (%s)", actors[id], who.name, who.key, id)
			}
		}
	}
	slices.Sort(v.Wrong)
	return v
}

// SavesKept says whether every life of an actor began with at least what earlier lives had been told was saved, and with nothing that
// none of them asked to save.
func SavesKept(events []history.Event) Verdict {
	var v Verdict
	type saves struct{ asked, acknowledged uint64 }
	of := map[string]saves{}
	for _, e := range events {
		s := of[e.Actor]
		switch e.Kind {
		case history.Saving:
			s.asked = max(s.asked, e.Number)
		case history.Saved:
			s.acknowledged = max(s.acknowledged, e.Number)
		case history.BodyStart:
			v.Looked++
			if e.Number < s.acknowledged {
				v.wrong("actor %s began generation %d on %s with %d: %d had been saved", e.Actor, e.Generation, e.Process, e.Number, s.acknowledged)
			}
			if e.Number > s.asked {
				v.wrong("actor %s began generation %d on %s with %d: nobody saved more than %d", e.Actor, e.Generation, e.Process, e.Number, s.asked)
			}
			continue
		default:
			continue
		}
		of[e.Actor] = s
	}
	return v
}
