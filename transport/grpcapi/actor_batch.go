package grpcapi

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/scheduler"
)

// maxBatchBytes bounds a batch: with everything that is decided about it, it is one entry of the log.
const maxBatchBytes = 1 << 20

// CreateBatch makes many actors, all of them or none, and answers when they are in the log, before they run.
func (s *actorService) CreateBatch(ctx context.Context, req *callboardv1.CreateBatchRequest) (*callboardv1.CreateBatchResponse, error) {
	if err := checkBatch(req); err != nil {
		return nil, err
	}
	success, _, index, err := s.submit(ctx, req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_CreateActors{
		CreateActors: &callboardv1.CreateBatchRequest{Namespace: req.GetNamespace(), Actors: req.GetActors()},
	}})
	if err != nil {
		return nil, err
	}
	const size = len(fsm.ActorID{})
	answer := &callboardv1.CreateBatchResponse{Index: index, ActorIds: make([]string, 0, len(req.GetActors()))}
	for ids := success.GetIds(); len(ids) >= size; ids = ids[size:] {
		answer.ActorIds = append(answer.ActorIds, fsm.ActorID(ids[:size]).String())
	}
	return answer, nil
}

func checkBatch(req *callboardv1.CreateBatchRequest) error {
	if n := len(req.GetActors()); n < 1 || n > scheduler.MaxBatch {
		return badField("actors", "there are %d actors in the batch, and 1 to %d are allowed: send several batches", n, scheduler.MaxBatch)
	}
	if size := proto.Size(req); size > maxBatchBytes {
		return callboardv1.Refuse("api", "payload_too_large",
			"the batch has %d bytes, and at most %d are allowed: send smaller batches, and actors with large inputs alone", size, maxBatchBytes).
			With("field", "actors").With("max_size", fmt.Sprint(maxBatchBytes))
	}
	for i, a := range req.GetActors() {
		refusal := checkNewActor(&callboardv1.CreateRequest{
			Namespace: req.GetNamespace(), Name: a.GetName(), Key: a.Key, Pool: a.GetPool(), Input: a.GetInput(), CrashPolicy: a.GetCrashPolicy(),
		})
		if refusal != nil {
			return refusal.InItem("actors", i)
		}
	}
	return nil
}
