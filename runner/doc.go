// Package runner is the runner library: what a program links to become a runner of a Callboard cluster.
//
// A program registers a handler for each actor name it can run and calls [Run]. The engine decides which actors run here; the
// library starts them, stops them, and answers for them:
//
//	func main() {
//		runner.Handle("counter", func(ctx context.Context, a *runner.Actor) error {
//			<-ctx.Done() // the actor's work; ctx ends when the engine stops the actor
//			return nil
//		})
//		cfg, err := runner.FromEnv()
//		if err != nil {
//			log.Fatal(err)
//		}
//		runner.Main(cfg)
//	}
//
// The engine is told the names that have handlers, and gives the runner no other actors; with [HandleAny] it gives it all. A Start for a
// name that has no handler is refused: nothing has run, so that the actor moves to another runner, whatever its crash policy.
//
// # What it owns
//
// One runner is one loop (loop.go) which owns all of a runner's state: the lease, the streams, the table of actors, what has not
// been acknowledged. Everything else talks to it by messages: links (one goroutine pair per stream), handlers through the methods of
// [Actor], and supervisors (one goroutine per actor, from the moment there is something to watch: an idle time, work in the background,
// a stop; until then an actor costs the goroutine of its handler and no other).
//
// # The lease
//
// A runner may run actors only while it holds a lease. The engine's acknowledgement of a heartbeat renews it, counted from the
// moment the heartbeat was sent, on a clock that goes on while the machine sleeps ([Clock]). A lease is valid until 70 % of the
// lost threshold. Then the runner fences itself: it cancels every actor without hooks and closes its stream. At 85 % whatever
// has not returned is abandoned, or the process exits ([OnStuck]). This is why an actor never runs twice, and why an actor's
// code must honour its context. Code that ignores it is cut off from the library's calls, and its generation
// ([Actor.Generation]) should guard any storage of its own.
//
// # What it must never do
//
// It never runs an actor without a lease, never runs a generation again that it has ended or refused, never takes the process
// down for an actor's panic, and never forgets an end that the engine has not acknowledged.
package runner
