// Package history holds what happened in a run, as those saw it who took part: clients that called, runners whose actors ran, and
// whoever killed them. It is written as JSON lines, so that what a process wrote outlives the process.
//
// It judges nothing; that is check's.
package history

// Kind says what an event is.
type Kind string

// A client's call: one Invoke, then at most one of the other three with the same Call.
const (
	Invoke  Kind = "invoke"
	OK      Kind = "ok"
	Refused Kind = "refused" // it took no effect
	Unknown Kind = "unknown" // it may or may not have taken effect
)

// What a runner process writes about its actors.
const (
	BodyStart Kind = "body_start" // the actor's code begins
	BodyStop  Kind = "body_stop"  // it is about to return
	Saving    Kind = "saving"     // it asks to save Number
	Saved     Kind = "saved"      // the engine has acknowledged Number
)

// What is done to a process. Killed and Ended are written when it is gone for certain, Frozen when it stands still for certain, Thawed
// when it was told to go on.
const (
	Started Kind = "started"
	Killed  Kind = "killed"
	Ended   Kind = "ended"
	Frozen  Kind = "frozen"
	Thawed  Kind = "thawed"
)

// Op is what a call asks for.
type Op string

// The calls that checks know.
const (
	Create      Op = "create"
	GetOrCreate Op = "get-or-create"
	Destroy     Op = "destroy"
	List        Op = "list" // linearizable, the whole of a name
)

// Event is one line of a history.
type Event struct {
	AtNs    int64  `json:"at_ns"`   // see Now: one clock for all processes of a machine
	WallMs  int64  `json:"wall_ms"` // for people
	Process string `json:"process"` // whom it is about; no two processes of a run share a name
	Kind    Kind   `json:"kind"`

	Call   uint64 `json:"call,omitempty"` // pairs a call with its outcome, within Process
	Op     Op     `json:"op,omitempty"`
	Target string `json:"target,omitempty"` // the node that was asked
	Name   string `json:"name,omitempty"`
	Key    string `json:"key,omitempty"`
	Index  uint64 `json:"index,omitempty"` // of the log, as the answer says
	Error  string `json:"error,omitempty"`

	Actor      string  `json:"actor,omitempty"` // id
	Generation uint64  `json:"generation,omitempty"`
	Number     uint64  `json:"number,omitempty"` // that an actor was started with, or saves
	Actors     []Actor `json:"actors,omitempty"` // what a List returned
}

// Actor is an actor as the engine shows it.
type Actor struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Key        string `json:"key"`
	State      string `json:"state"`
	Generation uint64 `json:"generation"`
	Runner     string `json:"runner,omitempty"` // id
}

// Live tells whether the actor holds its key.
func (a Actor) Live() bool { return a.State != StateDestroyed }

// States that checks and scenarios look for.
const (
	StateRunning   = "running"
	StatePending   = "pending"
	StateDestroyed = "destroyed"
)
