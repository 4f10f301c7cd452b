// Package client speaks the public gRPC API of a Callboard cluster.
//
//	c, err := client.Dial("10.0.0.1:6421", "10.0.0.2:6421", "10.0.0.3:6421")
//	if err != nil { … }
//	defer c.Close()
//	answer, err := c.Actors.GetOrCreate(ctx, &callboardv1.GetOrCreateRequest{Name: "room", Key: "lobby", Pool: "chat"})
//
// It adds to the generated clients what every caller needs: it goes on to another node when one is away, it tries again while that is
// safe, and it tells the outcomes apart.
//
// # Outcomes
//
// A call succeeds, is refused, or its outcome is unknown. A refusal is a *callboardv1.Error: find it with errors.As, and compare with
// errors.Is; it took no effect. The refusal cluster.outcome_unknown means what it says. An [UnreachableError] means that no node was
// reached: nothing was sent.
//
// # Retries
//
// Every write carries an idempotency key, made up here unless [WithIdempotencyKey] or the request names one, so that it takes effect
// once however often it is sent. A call is sent again, for as long as its context allows, while no leader is known, the leader is
// overloaded, a node cannot be reached, or the outcome of a write with such a key is unknown. [WithoutRetry] turns that off.
package client
