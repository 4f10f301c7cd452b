package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	errNoWelcome  = errors.New("no Welcome in time")
	errGap        = errors.New("the engine's messages have a gap")
	errProtocol   = errors.New("the engine does not keep the protocol")
	errStaleHello = errors.New("the Welcome came too late to be a lease")
	errOverdue    = errors.New("events are not acknowledged although heartbeats are")
	errWelcomed   = errors.New("another stream has taken over")
	errDisconnect = errors.New("the engine ended the stream")
)

// Codes of a Disconnect that mean something to this library.
const (
	codeReplaced   = "replaced"   // another instance has taken the runner's key
	codeSuperseded = "superseded" // a newer stream of this instance has taken over
	codeEnded      = "ended"      // the engine knows that nothing is left of this runner
)

// minds keeps the session alive: heartbeats, the next dial, the deadline of a Welcome.
func (l *loop) minds(now time.Duration) {
	if l.farewell != nil {
		return
	}
	if k := l.current; k != nil {
		if now >= k.heartbeatAt {
			l.heartbeat(now, k)
		}
		l.due(k.heartbeatAt)
	}
	if k := l.current; k != nil {
		if since, ok := l.events.oldest(); ok {
			if now >= since+l.lease.smallest {
				l.endLink(now, k, errOverdue)
			} else {
				l.due(since + l.lease.smallest)
			}
		}
	}
	if k := l.next; k != nil {
		if now >= k.deadline {
			l.endLink(now, k, errNoWelcome)
		} else {
			l.due(k.deadline)
		}
	}
	if l.next == nil && l.refused == nil {
		at := l.dialAt
		if l.current != nil { // only when it has gone quiet
			at = max(at, l.current.lastAck+l.lease.smallest/3)
		}
		if now >= at {
			l.dial(now)
			at = l.next.deadline
		}
		l.due(at)
	}
}

// dial begins a stream; while one is up, to another node if there is one.
func (l *loop) dial(now time.Duration) {
	avoid := ""
	if l.current != nil {
		avoid = l.current.target
		l.log.Warn("no acknowledgement; dialling another node", "quiet", now-l.current.lastAck)
	}
	timeout := welcomeTimeout
	if l.lease.smallest > 0 {
		timeout = min(timeout, l.lease.smallest/3)
	}
	target := l.book.pick(avoid)
	k := &link{
		target:   target,
		cluster:  l.belongsTo(now, target),
		hello:    make(chan []*callboardv1.Hello, 1),
		outbox:   make(chan *callboardv1.ConnectRequest, outboxLength),
		deadline: now + timeout,
	}
	k.ctx, k.cancel = context.WithCancel(l.base)
	l.next = k
	l.group.Go(func() { k.carry(l) })
}

// greet answers a connected link with the full set of what is here.
func (l *loop) greet(now time.Duration, k *link) {
	if k != l.next {
		return
	}
	l.attempt++
	k.attempt, k.greeted = l.attempt, true
	k.helloBeat = beat{sentAt: now, skew: skewOf(l.clock, now)}
	k.hello <- l.fullSet(k)
}

// processStart is when the process began, as near as a library can tell.
var processStart = time.Now()

// fullSet says what runs here, what is stopping, and what has ended without acknowledgement.
func (l *loop) fullSet(k *link) []*callboardv1.Hello {
	first := &callboardv1.Hello{
		Protocol:            1,
		Namespace:           l.cfg.Namespace,
		Pool:                l.cfg.Pool,
		Key:                 l.cfg.Key,
		Version:             l.cfg.Version,
		Slots:               l.cfg.Slots,
		MetadataJson:        l.cfg.MetadataJSON,
		InstanceId:          l.instanceID,
		Attempt:             k.attempt,
		AdvertisedAddr:      l.cfg.AdvertisedAddr,
		ProcessStartUnixMs:  processStart.UnixMilli(),
		Token:               l.cfg.Token,
		ClusterId:           k.cluster,
		KeepOnLeaseLost:     l.cfg.OnLeaseLost == Keep,
		ServerlessRequestId: l.cfg.requestID,
		ActorNames:          l.runner.registry.handled(),
	}
	set := []*callboardv1.Hello{first}
	last := func() *callboardv1.Hello {
		h := set[len(set)-1]
		if len(h.Running)+len(h.Ended) >= setChunk {
			h.More = true
			h = &callboardv1.Hello{}
			set = append(set, h)
		}
		return h
	}
	for _, a := range l.actors {
		h := last()
		h.Running = append(h.Running, &callboardv1.RunningActor{Ref: a.ref, Stopping: a.stopping(), Starting: !a.running})
	}
	for _, e := range l.unsettled {
		h := last()
		e.toldIn = k.attempt
		h.Ended = append(h.Ended, &callboardv1.EndedActor{
			Ref: e.ref, Clean: e.clean, Message: e.message, Fenced: e.fenced, Abandoned: e.abandoned, Finished: e.finished, Refused: e.refused,
		})
	}
	return set
}

func (l *loop) received(now time.Duration, m linkMessage) {
	k := m.link
	if k != l.current && k != l.next {
		return // of a stream that is over
	}
	switch body := m.body.GetMessage().(type) {
	case *callboardv1.ConnectResponse_Disconnect:
		l.disconnected(now, k, body.Disconnect)
	case *callboardv1.ConnectResponse_Welcome:
		l.welcomed(now, k, body.Welcome)
	default:
		if k != l.current {
			l.endLink(now, k, fmt.Errorf("%w: a message before the Welcome", errProtocol))
			return
		}
		l.instructed(now, m)
	}
}

// instructed handles what comes down a welcomed stream.
func (l *loop) instructed(now time.Duration, m linkMessage) {
	k := m.link
	switch body := m.body.GetMessage().(type) {
	case *callboardv1.ConnectResponse_HeartbeatAck:
		l.heartbeatAcknowledged(now, k, body.HeartbeatAck)
	case *callboardv1.ConnectResponse_EventsAck:
		l.eventsAcknowledged(body.EventsAck)
	case *callboardv1.ConnectResponse_Desired:
		l.commanded(now, m, body.Desired)
	case *callboardv1.ConnectResponse_DrainNotice:
		l.drainNoticed(body.DrainNotice)
	default:
		l.log.Debug("the engine sent something this library does not know")
	}
}

func (l *loop) welcomed(now time.Duration, k *link, w *callboardv1.Welcome) {
	threshold := time.Duration(w.GetLostThresholdMs()) * time.Millisecond
	interval := time.Duration(w.GetHeartbeatIntervalMs()) * time.Millisecond
	switch {
	case k != l.next || !k.greeted:
		l.endLink(now, k, fmt.Errorf("%w: a Welcome that was not asked for", errProtocol))
		return
	case l.foreign(k, w.GetClusterId()):
		l.endLink(now, k, fmt.Errorf("%w: its cluster is %q, this runner's %q", errOtherCluster, w.GetClusterId(), k.cluster))
		return
	case threshold <= 0 || interval <= 0 || w.GetRunnerId() == "" || w.GetClusterId() == "":
		l.endLink(now, k, fmt.Errorf("%w: a Welcome without runner, cluster, threshold or interval", errProtocol))
		return
	case now >= k.helloBeat.sentAt+threshold*leasePercent/100 || jumped(k.helloBeat.skew, skewOf(l.clock, now)):
		l.endLink(now, k, errStaleHello)
		return
	}
	if old := l.current; old != nil {
		old.cancel()
		l.log.Info("another node has taken over the session", "from", old.addr, "reason", errWelcomed)
	}
	l.lease.welcome(k.helloBeat, threshold, w.GetResumed())
	l.watchdog.renew(l.lease)
	l.current, l.next, l.failures = k, nil, 0
	if l.clusterID != "" && l.clusterID != w.GetClusterId() {
		l.log.Warn("joined another cluster", "cluster_id", w.GetClusterId(), "before", l.clusterID)
	}
	l.runnerID, l.clusterID = w.GetRunnerId(), w.GetClusterId()
	if ms := w.GetStopThresholdMs(); ms > 0 {
		l.stopThreshold = time.Duration(ms) * time.Millisecond
	}
	for _, warning := range w.GetWarnings() {
		l.log.Warn(warning)
	}
	l.book.worked(k.target)
	l.book.learn(w.GetEngineAddrs())
	l.dropWaiting()
	l.helloAcknowledged(k)
	k.threshold, k.interval, k.lastAck = threshold, interval, now
	k.heartbeatAt = now + rand.N(interval) // a fleet that came together need not beat together
	l.drainAnew()
	if l.shutdown != nil {
		l.announceShutdown(now)
	}
	l.log.Info("connected", "address", k.addr, "runner_id", l.runnerID, "session_id", w.GetSessionId(),
		"resumed", w.GetResumed(), "lost_threshold", threshold, "actors", len(l.actors))
}

func (l *loop) heartbeat(now time.Duration, k *link) {
	k.beatSeq++
	b := beat{seq: k.beatSeq, sentAt: now, skew: skewOf(l.clock, now), threshold: l.lease.announced}
	if len(k.beats) >= maxBeats {
		k.beats = append(k.beats[:0], k.beats[1:]...)
	}
	k.beats = append(k.beats, b)
	// As often as at the Welcome, in proportion to the threshold that counts now.
	interval := time.Duration(float64(k.interval) * float64(l.lease.smallest) / float64(k.threshold))
	k.heartbeatAt = now + max(interval, minHeartbeatInterval)
	l.send(now, k, &callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Heartbeat{
		Heartbeat: &callboardv1.Heartbeat{Seq: b.seq, ThresholdMs: milliseconds(b.threshold)},
	}})
}

// heartbeatAcknowledged renews the lease. An acknowledgement stands for the heartbeats before it as well.
func (l *loop) heartbeatAcknowledged(now time.Duration, k *link, ack *callboardv1.HeartbeatAck) {
	for i, b := range k.beats {
		if b.seq != ack.GetSeq() {
			continue
		}
		k.beats = k.beats[i+1:]
		k.lastAck = now
		if jumped(b.skew, skewOf(l.clock, now)) {
			return // the clocks parted after it was sent; it says nothing about now
		}
		announced := time.Duration(ack.GetLostThresholdMs()) * time.Millisecond
		if announced <= 0 {
			announced = b.threshold
		}
		if announced != l.lease.announced {
			l.log.Info("the lost threshold changes", "from", l.lease.announced, "to", announced)
			k.heartbeatAt = now // the change holds once this is acknowledged
		}
		l.lease.acknowledge(b, announced, k.beats)
		l.watchdog.renew(l.lease)
		return
	}
}

// send puts out a message; a stream that takes none is over.
func (l *loop) send(now time.Duration, k *link, m *callboardv1.ConnectRequest) bool {
	if err := k.send(m); err != nil {
		l.endLink(now, k, err)
		return false
	}
	return true
}

func (l *loop) disconnected(now time.Duration, k *link, d *callboardv1.Disconnect) {
	if l.foreign(k, d.GetClusterId()) {
		l.endLink(now, k, fmt.Errorf("%w: %w", errOtherCluster, refusalOf(d.GetError())))
		return
	}
	l.book.learn(d.GetEngineAddrs())
	code := d.GetError().GetCode()
	switch {
	case code == codeSuperseded:
		// A later dial of this very instance has taken over: either its Welcome is on its way, or it was given up too early and
		// the next dial will be welcomed.
	case !d.GetReconnect():
		l.refuse(now, d.GetError())
	case code == codeEnded && l.shutdown != nil && len(l.actors) == 0:
		l.finish(l.outcome(l.shutdown.leftBehind)) // the engine saw the last end, and needs no Goodbye
	}
	l.endLink(now, k, fmt.Errorf("%w: %w", errDisconnect, refusalOf(d.GetError())))
}

// endLink closes a stream from this side.
func (l *loop) endLink(now time.Duration, k *link, why error) {
	k.cancel()
	l.linkEnded(now, k, why)
}

// linkEnded handles the end of a stream, from whichever side.
func (l *loop) linkEnded(now time.Duration, k *link, why error) {
	switch k {
	case l.next:
		l.next = nil
		l.failures++
		l.book.failed(k.target)
		l.dialAt = now + l.pause()
		level := slog.LevelDebug
		if l.failures&(l.failures-1) == 0 { // 1, 2, 4, 8 …: an engine that is away for long need not fill the log
			level = slog.LevelWarn
		}
		l.log.Log(l.base, level, "cannot connect", "target", k.target, "failures", l.failures, "error", why)
		code := status.Code(why)
		refused := code == codes.Unauthenticated || code == codes.PermissionDenied || code == codes.InvalidArgument
		if refused && k.cluster == "" { // a bare status may be anybody's: it ends no runner that has a cluster
			l.refuse(now, &callboardv1.Error{Group: "session", Code: code.String(), Message: status.Convert(why).Message()})
		}
		l.obeyWaiting(now)
	case l.current:
		l.current = nil
		l.dropWaiting()
		l.dialAt = now + l.pause()
		if l.farewell == nil {
			l.log.Warn("disconnected", "address", k.addr, "error", why)
		}
	}
}

// pause is the jittered time until the next dial: up to 200 ms at first, doubling up to min(2 s, T/5).
func (l *loop) pause() time.Duration {
	longest := maxReconnectPause
	if l.lease.smallest > 0 {
		longest = min(longest, l.lease.smallest/5)
	}
	d := min(minReconnectPause<<min(l.failures+1, 10), longest)
	return d/4 + rand.N(3*d/4+1)
}
