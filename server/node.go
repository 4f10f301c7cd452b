package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/callboard/callboard/certs"
	"github.com/callboard/callboard/internal/logqueue"
	"github.com/callboard/callboard/transport/gossip"
	"github.com/callboard/callboard/transport/grpcapi"
	"github.com/callboard/callboard/transport/peer"
	"github.com/callboard/callboard/transport/raftnet"
	"github.com/callboard/callboard/transport/session"
)

const (
	// shutdownGrace is how long calls that are under way may take when the node stops. Streams of other nodes never end by themselves.
	shutdownGrace = 2 * time.Second
	// connectionTimeout is how long a new connection may take to speak HTTP/2.
	connectionTimeout = 10 * time.Second
	// logFlush is how long a node that ends waits until its last log lines are written.
	logFlush = time.Second
)

// Run runs one engine node until ctx ends.
func Run(ctx context.Context, cfg Config) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	logs := logqueue.New(cfg.Log.Handler())
	defer logs.Flush(logFlush)
	cfg.Log = slog.New(logs.Handler())
	raiseOpenFiles(cfg.Log)
	cfg.ClusterName = cmp.Or(cfg.ClusterName, certs.DefaultCluster)
	secure, err := openTLS(cfg)
	if err != nil {
		return err
	}
	if err := beginAnew(ctx, cfg, dialNode(secure)); err != nil {
		return err
	}
	n := &node{cfg: cfg, tls: secure, registry: prometheus.NewRegistry(), refused: make(chan error, 1)}
	n.registry.MustRegister(newLogMetric(logs))
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer func() {
		if errors.Is(err, errStuck) {
			return // its disk answers nothing: to close a file there would wait for it. The process is about to end
		}
		if closed := n.close(); err == nil {
			err = closed
		}
		err = n.advise(n.bar(err))
	}()
	if err := n.open(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil // it was told to end before it had begun
		}
		return err
	}
	return n.run(ctx)
}

// node is one engine node with its doors.
type node struct {
	cfg      Config
	tls      *certs.Source // nil: none
	id       identity
	start    gossip.Start // of this process
	blank    bool         // Raft had no state when the node started
	refused  chan error   // by another node, for another start of this one
	registry *prometheus.Registry
	closers  []func() error

	core     *core
	members  *members
	margins  *marginWatch
	removals *removals
	doors    struct{ http, grpc, metrics net.Listener }
	lobby    *lobby
	grpc     *grpc.Server
	http     *http.Server
}

// open takes every address and file that the node needs, so that what is taken or damaged is told before anything runs.
func (n *node) open(ctx context.Context) (err error) {
	if n.id, err = loadIdentity(n.cfg.DataDir, n.cfg.Name); err != nil {
		return err
	}
	if n.id.Barred != "" {
		return &barredError{text: n.id.Barred, code: exitOtherStart}
	}
	stores, err := raftnet.Open(n.cfg.DataDir, n.id.options(n.cfg))
	if err != nil {
		return err
	}
	n.closers = append(n.closers, stores.Close)
	n.id.Marked = true // as of now; with the count it is on the disk before anything is acknowledged
	if n.start, err = n.id.nextStart(n.cfg.DataDir); err != nil {
		return err
	}
	has, err := raft.HasExistingState(stores.Log, stores.Stable, stores.Snapshots)
	if err != nil {
		return fmt.Errorf("look for an earlier state: %w", err)
	}
	n.blank = !has
	if n.doors.http, err = n.listen("--http-addr", n.cfg.HTTPAddr); err != nil {
		return err
	}
	if n.doors.grpc, err = n.listen("--grpc-addr", n.cfg.GRPCAddr); err != nil {
		return err
	}
	if n.cfg.MetricsAddr != "" {
		if n.doors.metrics, err = n.listen("--metrics-addr", n.cfg.MetricsAddr); err != nil {
			return err
		}
	}
	transport, err := raftnet.ListenTCP(n.id.NodeID, n.cfg.RaftAddr, n.advertiseIf(n.cfg.RaftAddr), n.raftAddr, raftWrap(n.tls), n.cfg.Log)
	if err != nil {
		return fmt.Errorf("--raft-addr: %w", addrError(n.cfg.RaftAddr, err))
	}
	n.closers = append(n.closers, transport.Close)
	n.removals = loadRemovals(n.cfg.DataDir, n.cfg.Log)
	if n.members, err = n.meet(string(transport.LocalAddr())); err != nil {
		return err
	}
	transport.Guard(n.door())
	if err := n.lookForItself(ctx); err != nil {
		return err
	}
	n.core, err = newCore(parts{
		name: n.cfg.Name, id: n.id.NodeID, caller: n.caller(), log: n.cfg.Log, registry: n.registry, timing: n.cfg.Timing,
		stores: stores, transport: transport, dial: dialNode(n.tls), directory: n.members, addrs: n.grpcAddrs, urls: n.httpURLs, policy: n.endpointPolicy(),
	})
	if err != nil {
		return err
	}
	n.margins = newMarginWatch()
	n.registry.MustRegister(n.margins)
	n.core.leadership.tasks = append(n.core.leadership.tasks, n.tend, n.watchMargin)
	n.lobby = newLobby(n.doors.grpc, n.cfg.Log)
	if n.tls != nil {
		n.registry.MustRegister(tlsMetrics(n.tls)...)
	}
	n.grpc = grpc.NewServer(append(slices.Concat(peer.ServerOptions(), lobbyOptions(), n.grpcTLS()),
		grpc.ConnectionTimeout(connectionTimeout),
		grpc.MaxRecvMsgSize(peer.MaxMessageBytes),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
	)...)
	api := grpcapi.New(n.core.engine, n)
	api.CallEndpoints(n.core.poller)
	api.Register(n.grpc)
	session.Register(n.grpc, n.core.sessions)
	peer.Register(n.grpc, n.core.replica.cluster, n.judge, peerLeader{n.core.engine}, n, n.core)
	n.http = n.httpServer(api)
	n.doors.http = n.secureHTTP(n.http, n.doors.http)
	return nil
}

func (n *node) listen(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, addrError(addr, err))
	}
	n.closers = append(n.closers, func() error {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return l, nil
}

// addrError says what to do about an address that cannot be had.
func addrError(addr string, err error) error {
	if isAddrInUse(err) {
		return fmt.Errorf("%s is in use by another process: stop it, or choose another address", addr)
	}
	return err
}

// advertise returns the address under which others reach one that this node binds.
func (n *node) advertise(bind string) string {
	if n.cfg.Advertise == "" {
		return bind
	}
	_, port, _ := net.SplitHostPort(bind)
	return net.JoinHostPort(n.cfg.Advertise, port)
}

// advertiseIf is advertise where the default is the bound address.
func (n *node) advertiseIf(bind string) string {
	if n.cfg.Advertise == "" {
		return ""
	}
	return n.advertise(bind)
}

// close gives back what open took, last first.
func (n *node) close() (err error) {
	for i := len(n.closers) - 1; i >= 0; i-- {
		if closed := n.closers[i](); closed != nil && err == nil {
			err = closed
		}
	}
	return err
}

// run opens the doors and works until ctx ends or something that the node cannot do without fails.
func (n *node) run(ctx context.Context) error {
	coreCtx, stopCore := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCore()
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return n.core.run(coreCtx) })
	tasks.Go(func() error { return n.members.run(ctx) })
	tasks.Go(func() error { return tendGarbage(ctx) })
	tasks.Go(func() error { return n.bootstrap(ctx) })
	tasks.Go(func() error { return n.watchRefusals(ctx) })
	tasks.Go(func() error { return n.watchMembership(ctx) })
	tasks.Go(func() error { return n.removals.run(ctx, n.core.configuration) })
	if n.tls != nil {
		tasks.Go(func() error { return watchTLS(ctx, n.tls) })
	}
	tasks.Go(n.lobby.run)
	tasks.Go(func() error { return ignoreClosed(n.grpc.Serve(n.lobby)) })
	tasks.Go(func() error { return ignoreClosed(n.http.Serve(n.doors.http)) })
	if n.doors.metrics != nil {
		metrics := n.metricsServer()
		tasks.Go(func() error { return ignoreClosed(metrics.Serve(n.doors.metrics)) })
		tasks.Go(func() error { <-ctx.Done(); return metrics.Close() })
	}
	tasks.Go(func() error {
		<-ctx.Done()
		n.core.handOver()
		n.shutDoors()
		stopCore()
		return nil
	})
	if n.cfg.Ready != nil {
		n.cfg.Ready(n.addrs())
	}
	n.cfg.Log.Info("node is up", "name", n.cfg.Name, "node_id", n.id.NodeID, "http", n.doors.http.Addr(), "grpc", n.doors.grpc.Addr(),
		"raft", n.cfg.RaftAddr, "data_dir", n.cfg.DataDir)
	return tasks.Wait()
}

func (n *node) addrs() Addrs {
	a := Addrs{HTTP: n.doors.http.Addr().String(), GRPC: n.doors.grpc.Addr().String()}
	if n.doors.metrics != nil {
		a.Metrics = n.doors.metrics.Addr().String()
	}
	return a
}

// shutDoors sends runners elsewhere and lets calls that are under way end, for a while.
func (n *node) shutDoors() {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	n.core.sessions.Shutdown(ctx)
	_ = n.http.Shutdown(ctx)
	_ = n.http.Close()
	stopped := make(chan struct{})
	go func() { defer close(stopped); n.grpc.GracefulStop() }()
	select {
	case <-stopped:
	case <-ctx.Done():
		n.grpc.Stop()
		<-stopped
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
