package session

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Register makes a gRPC server offer SessionService.
func Register(registrar grpc.ServiceRegistrar, host *Host) {
	callboardv1.RegisterSessionServiceServer(registrar, &service{host: host})
}

type service struct {
	callboardv1.UnimplementedSessionServiceServer
	host *Host
}

// Connect runs one runner's stream.
func (s *service) Connect(stream grpc.BidiStreamingServer[callboardv1.ConnectRequest, callboardv1.ConnectResponse]) error {
	ender, ok := grpc.ServerTransportStreamFromContext(stream.Context()).(statusWriter)
	if !ok {
		return status.Error(codes.Internal, "this build of gRPC has no way to end a stream whose reader is slow")
	}
	return statusOf(s.host.Serve(stream.Context(), &grpcWire{stream: stream, ender: ender}))
}

// statusOf gives the end of a stream its status. A refusal carries its own.
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return status.Error(codes.Canceled, err.Error())
	}
	return status.Error(codes.Unavailable, err.Error())
}

// statusWriter is what gRPC itself calls to end a stream when Send or Receive has failed, or the handler has returned: it puts the
// status behind what was sent and makes both calls return. A handler has no other way to come back from a Send that its client does
// not let through, nor to end its reader before it returns.
type statusWriter interface {
	WriteStatus(*status.Status) error
}

type grpcWire struct {
	stream grpc.BidiStreamingServer[callboardv1.ConnectRequest, callboardv1.ConnectResponse]
	ender  statusWriter
	bound  sync.Once
}

func (w *grpcWire) Receive(ctx context.Context) (*callboardv1.ConnectRequest, error) {
	w.bind(ctx)
	return w.stream.Recv()
}

func (w *grpcWire) Send(ctx context.Context, m *callboardv1.ConnectResponse) error {
	w.bind(ctx)
	return w.stream.Send(m)
}

// bind makes both calls return when the stream's context ends. Their callers pass the same one each time.
func (w *grpcWire) bind(ctx context.Context) {
	w.bound.Do(func() {
		context.AfterFunc(ctx, func() {
			_ = w.ender.WriteStatus(endOf(ctx)) // an error: the connection has gone
		})
	})
}

// endOf is the status that a stream ends with whose context has ended.
func endOf(ctx context.Context) *status.Status {
	cause := context.Cause(ctx)
	if errors.Is(cause, context.Canceled) {
		return status.New(codes.OK, "") // Serve came to its end without an error
	}
	return status.Convert(statusOf(cause))
}
