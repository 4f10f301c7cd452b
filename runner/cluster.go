package runner

import (
	"errors"
	"time"
)

// A runner belongs to the cluster that welcomed it. Ports and addresses are given to others: what answers at one may be a node of
// another cluster, which knows nothing of what runs here and would have it all stopped. So a Hello names the cluster, a node of
// another one refuses it, and what a stranger says is the end of a dial and nothing more.

var errOtherCluster = errors.New("a node of another cluster has this address now")

// belongsTo tells which cluster a Hello names; empty: any may welcome the runner. One that has neither lease nor actors has nothing to
// lose. It may join another cluster, which somebody has made in the place of its own, at an address of its configuration; an address
// that it was only told of was one of its own cluster.
func (l *loop) belongsTo(now time.Duration, target string) string {
	if l.lease.valid(now) || len(l.actors) > 0 || !l.book.configured(target) {
		return l.clusterID
	}
	return ""
}

// foreign tells that a word of this cluster is not for this runner. On a welcomed stream it always is.
func (l *loop) foreign(k *link, cluster string) bool {
	return k != l.current && k.cluster != "" && k.cluster != cluster
}
