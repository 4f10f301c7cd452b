package grpcapi

import (
	"errors"
	"testing"

	"go.uber.org/goleak"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/grpcapi/apitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newAPI returns the API of an engine that has pool p, with one runner of that many slots.
func newAPI(slots uint32) (*apitest.Engine, *API) {
	e := apitest.New()
	if slots > 0 {
		e.AddRunner("p", "first", 1, slots)
	} else {
		e.AddPool("default", "p")
	}
	return e, New(e, &apitest.Cluster{Leader: "n1"})
}

// create makes an actor in pool p; an empty key: none.
func create(t testing.TB, api *API, name, key string) *callboardv1.Actor {
	t.Helper()
	req := &callboardv1.CreateRequest{Namespace: "default", Name: name, Pool: "p"}
	if key != "" {
		req.Key = &key
	}
	answer, err := api.Actors().Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetActor()
}

// coexist lets the versions of a pool run side by side.
var coexist = &callboardv1.PoolConfig{DrainOnVersionUpgrade: new(bool)}

// configure writes the config of pool p.
func configure(t testing.TB, api *API, config *callboardv1.PoolConfig) {
	t.Helper()
	if _, err := api.Pools().Put(t.Context(), &callboardv1.PoolServicePutRequest{Namespace: "default", Name: "p", Config: config}); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, api *API, id string) *callboardv1.Actor {
	t.Helper()
	answer, err := api.Actors().Get(t.Context(), &callboardv1.GetRequest{Namespace: "default", ActorId: id})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetActor()
}

// expectRefusal wants a refusal of that name, about that field; an empty field: any.
func expectRefusal(t testing.TB, err error, name, field string) said {
	t.Helper()
	var refusal *callboardv1.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("got %v, want the refusal %s", err, name)
	}
	if refusal.Name() != name || field != "" && refusal.GetMetadata()["field"] != field {
		t.Fatalf("got %v about field %q, want %s about %q", refusal, refusal.GetMetadata()["field"], name, field)
	}
	if refusal.GetMessage() == "" {
		t.Fatalf("%s says nothing", name)
	}
	return said{refusal.GetMessage(), refusal.GetMetadata()}
}

// said is what a refusal tells beside its name.
type said struct {
	message  string
	metadata map[string]string
}
