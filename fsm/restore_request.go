package fsm

import (
	"errors"
	"fmt"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

func (r *Restorer) addRequest(rec *logv1.RequestRecord) error {
	id, err1 := needID("request", rec.GetId())
	start, err2 := needID("process of its node", rec.GetStartId())
	instance, err3 := readID("instance", rec.GetInstanceId())
	runner, err4 := readID("runner", rec.GetRunnerId())
	p, err5 := r.pool(rec.GetPool())
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return fmt.Errorf("the request %x: %w", rec.GetId(), err)
	}
	phase := RequestPhase(min(rec.GetPhase(), uint32(RequestEnded)+1))
	switch {
	case !r.lastID.less(id):
		return fmt.Errorf("the request %s comes after %s", id, r.lastID)
	case rec.GetSeq() < 1 || rec.GetSeq() > r.tx.requestSeq:
		return fmt.Errorf("the request %s is number %d of %d", id, rec.GetSeq(), r.tx.requestSeq)
	case phase < RequestOpening || phase > RequestEnded:
		return fmt.Errorf("the request %s: the state %d is not known to this build", id, rec.GetPhase())
	case (phase == RequestEnded) != (rec.GetEnd() != 0) || rec.GetEnd() > uint32(RequestEndpointChanged):
		return fmt.Errorf("the request %s: the end %d is not known to this build, or does not fit its state", id, rec.GetEnd())
	case rec.GetSlots() < 1 || rec.GetSlots() > MaxSlots:
		return fmt.Errorf("the request %s asks for %d slots: must be 1 to %d", id, rec.GetSlots(), MaxSlots)
	case phase == RequestJoined && r.tx.Runner(RunnerID(runner)) == nil:
		return fmt.Errorf("the request %s is answered by the runner %s: there is none", id, runner)
	}
	r.lastID = id
	r.tx.addRequest(&Request{
		ID: RequestID(id), Seq: rec.GetSeq(), Node: rec.GetNode(), Start: StartID(start), Slots: rec.GetSlots(), Endpoint: rec.GetEndpoint(),
		Probes: rec.GetProbesVersion(), Phase: phase, Expiring: rec.GetExpiring(), Drains: rec.GetDrains(), Instance: InstanceID(instance), Runner: RunnerID(runner),
		OpenMs: rec.GetOpenMs(), SendMs: rec.GetSendMs(), EndedMs: rec.GetEndedMs(), SendByMs: rec.GetSendByMs(), JoinByMs: rec.GetJoinByMs(),
		ReplaceMs: rec.GetReplaceMs(), DrainMs: rec.GetDrainMs(), ExpireMs: rec.GetExpireMs(), RetireMs: rec.GetRetireMs(),
		OpenWall: rec.GetOpenWallMs(), SendWall: rec.GetSendWallMs(), JoinWall: rec.GetJoinWallMs(), EndWall: rec.GetEndWallMs(),
		End: RequestEnd(rec.GetEnd()), Code: rec.GetCode(), Message: rec.GetMessage(), pool: p.ordinal,
	})
	return nil
}
