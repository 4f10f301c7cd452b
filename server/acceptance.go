package server

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/callboard/callboard/transport/raftnet"
)

// Acceptance is what AcceptLoss found.
type Acceptance = raftnet.Acceptance

// AcceptLoss finds out, while a node is down, why it refuses its data directory and what starting on what is left of it gives up. Unless it
// is a dry run, the next start does that.
func AcceptLoss(dir string, dryRun bool, log *slog.Logger) (*Acceptance, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	id, damage := readIdentity(dir)
	if damage != nil && !errors.Is(damage, raftnet.ErrDamaged) {
		return nil, fmt.Errorf("--data-dir: there is no node here: %w", damage)
	}
	if damage != nil {
		if id = identityOfMark(dir); id.NodeID == "" {
			return nil, fmt.Errorf("%w; and raft.mark does not say whose directory it is either: wipe it", damage)
		}
	}
	a, err := raftnet.AcceptLoss(dir, raftnet.Options{NodeID: id.NodeID, Marked: id.Marked, Member: id.ClusterID != "", Log: log})
	if errors.Is(err, raftnet.ErrWhole) && damage != nil {
		a, err = &Acceptance{NodeID: id.NodeID}, nil
	}
	if err != nil {
		return nil, err
	}
	if damage != nil {
		a.Report = append(a.Report, fmt.Sprintf("%s is made anew, for node %s (%v)", identityFile, id.NodeID, damage))
	}
	if dryRun {
		return a, nil
	}
	return a, a.Write(dir)
}

// identityOfMark is what the mark of the log knows of whose directory it is. How often the node was started is lost; the seconds of the clock
// are more, so that the others do not take it for an older copy.
func identityOfMark(dir string) identity {
	mark, err := raftnet.ReadMark(dir)
	if err != nil {
		return identity{}
	}
	return identity{NodeID: mark.NodeID, Marked: true, Starts: uint64(max(0, time.Now().Unix()))}
}

// acceptedIdentity makes an identity anew that an operator has given up; without that it returns the damage.
func acceptedIdentity(dir string, damage error) (identity, error) {
	a, err := raftnet.ReadAcceptance(dir)
	if err != nil || a == nil {
		return identity{}, errors.Join(damage, err)
	}
	id := identityOfMark(dir)
	if id.NodeID == "" || id.NodeID != a.NodeID {
		return identity{}, damage
	}
	return id, id.save(dir)
}
