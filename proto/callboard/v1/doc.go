// Package callboardv1 is the public promise of Callboard: the API (api.proto), what runners and engine nodes say to each other
// (runner.proto), the types of both, and the refusals.
//
// Programs that call the API use package client, which brings the generated clients of this package together with retries, and programs
// that run actors use package runner, which speaks the runner protocol for them. What they need from here are the requests and answers,
// and [Error]:
//
//	answer, err := c.Actors.Get(ctx, &callboardv1.GetRequest{ActorId: id})
//	if refusal, ok := callboardv1.AsRefusal(err); ok {
//		log.Print(refusal.Name(), refusal.GetMetadata()) // actor.not_found, and details for programs
//	}
//
// Group and code of a refusal, which [Error.Name] joins, are stable; its text is not. Field numbers are never used again for something else.
package callboardv1
