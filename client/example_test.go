package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Ask for an actor by its key, and for where it runs.
func Example() {
	c, err := client.Dial("10.0.0.1:6421", "10.0.0.2:6421", "10.0.0.3:6421")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()

	ctx, cancel := context.WithTimeout(context.Background(), client.DefaultTimeout)
	defer cancel()
	got, err := c.Actors.GetOrCreate(ctx, &callboardv1.GetOrCreateRequest{Name: "room", Key: "lobby", Pool: "chat"})
	if err != nil {
		log.Fatal(err)
	}
	at, err := c.Actors.Resolve(ctx, &callboardv1.ResolveRequest{ActorId: got.GetActor().GetActorId()}) // wakes it if need be
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("generation %d runs at %s\n", at.GetActor().GetGeneration(), at.GetRunnerAddr())
}

// Three ways in which a write can end, and what to do about each.
func Example_outcomes() {
	c, err := client.New([]string{"127.0.0.1:6421"}, client.WithNamespace("shop"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()

	// The key is the caller's own, so that the same request of the next process of this program takes effect once as well.
	ctx := client.WithIdempotencyKey(context.Background(), "order-4711")
	_, err = c.Actors.Create(ctx, &callboardv1.CreateRequest{Name: "order", Pool: "orders", Input: []byte("4711")})

	var unreachable *client.UnreachableError
	refusal, refused := callboardv1.AsRefusal(err)
	switch {
	case err == nil:
		log.Print("made, now or before")
	case errors.Is(err, callboardv1.ErrOutcomeUnknown):
		log.Print("made or not: repeat it with the same key, within 10 minutes")
	case errors.As(err, &unreachable):
		log.Print("not made: no node was reached")
	case refused:
		log.Printf("not made: %s: %s", refusal.Name(), refusal.GetMessage())
	default:
		log.Print(err)
	}
}
