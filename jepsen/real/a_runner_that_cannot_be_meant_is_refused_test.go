//go:build unix

package real_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// hello is one that the engine would welcome.
func hello(change func(h *callboardv1.Hello)) *callboardv1.ConnectRequest {
	h := &callboardv1.Hello{
		Protocol: 1, Namespace: "default", Pool: "raw", Key: "raw", Slots: 1,
		InstanceId: "7d1a4a52-5e47-4c33-9c5e-1b0f0f6f6a01", Attempt: 1,
	}
	change(h)
	return &callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Hello{Hello: h}}
}

// Streams whose first message no runner library would send are ended by the engine with an error that says what is wrong.
func aRunnerThatCannotBeMeantIsRefused(s *scenario) {
	conn, err := grpc.NewClient(s.cluster.Nodes[0].Addrs.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	s.must(err)
	defer func() { _ = conn.Close() }()
	tests := []struct {
		name  string
		first *callboardv1.ConnectRequest
		says  string
	}{
		{"slots 0", hello(func(h *callboardv1.Hello) { h.Slots = 0 }), "slots"},
		{"slots 2^31", hello(func(h *callboardv1.Hello) { h.Slots = 1 << 31 }), "slots"},
		{"unknown namespace", hello(func(h *callboardv1.Hello) { h.Namespace = "nope" }), `"nope"`},
		{"no pool", hello(func(h *callboardv1.Hello) { h.Pool = "" }), "pool"},
		{"no key", hello(func(h *callboardv1.Hello) { h.Key = "" }), "key"},
		{"key of 2 KiB", hello(func(h *callboardv1.Hello) { h.Key = long2KiB }), "key"},
		{"metadata that is no JSON", hello(func(h *callboardv1.Hello) { h.MetadataJson = "{" }), "metadata"},
		{"an instance that is no UUID", hello(func(h *callboardv1.Hello) { h.InstanceId = "me" }), "instance"},
		{"a protocol of next year", hello(func(h *callboardv1.Hello) { h.Protocol = 99 }), "protocol 99"},
		{"an actor that is no id", hello(func(h *callboardv1.Hello) {
			h.Running = []*callboardv1.RunningActor{{Ref: &callboardv1.ActorRef{ActorId: "x", Generation: 1}}}
		}), "running"},
		{"no Hello", &callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Goodbye{Goodbye: &callboardv1.Goodbye{}}}, "the first message must be a Hello"},
		{"nothing", &callboardv1.ConnectRequest{}, "the first message must be a Hello"},
		{"a field of next year", withUnknownField(), "the first message must be a Hello"},
		{"64 MiB", hello(func(h *callboardv1.Hello) { h.MetadataJson = strings.Repeat(" ", 64<<20) }), "larger than max"},
	}
	for _, test := range tests {
		s.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			stream, err := callboardv1.NewSessionServiceClient(conn).Connect(ctx)
			if err != nil {
				t.Fatal(err)
			}
			_ = stream.Send(test.first) // an error shows in Recv
			if end := theEnd(stream); !strings.Contains(end, test.says) {
				t.Errorf("it ended with %q, want %q", end, test.says)
			}
		})
	}
	s.serves("streams without a meaning")
}

// theEnd returns how the engine ends a stream that it does not welcome.
func theEnd(stream callboardv1.SessionService_ConnectClient) string {
	for {
		answer, err := stream.Recv()
		if err != nil {
			return err.Error()
		}
		if refusal := answer.GetDisconnect(); refusal != nil {
			return refusal.GetError().GetMessage()
		}
		if answer.GetWelcome() != nil {
			return "a Welcome"
		}
	}
}

func withUnknownField() *callboardv1.ConnectRequest {
	m := &callboardv1.ConnectRequest{}
	field := protowire.AppendTag(nil, 4711, protowire.BytesType)
	m.ProtoReflect().SetUnknown(protowire.AppendString(field, "whatever it means"))
	return proto.CloneOf(m)
}
