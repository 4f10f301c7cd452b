package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/raftnet"
)

// one is a single node on a directory, started with its ports anew each time.
type one struct {
	t      *testing.T
	dir    string
	adopt  bool
	client *client.Client
	stop   func() error
}

// start returns why the node ends before it is up, or nil.
func (o *one) start() error {
	ctx, cancel := context.WithCancel(o.t.Context())
	up, ended := make(chan Addrs, 1), make(chan error, 1)
	go func() {
		ended <- Run(ctx, Config{
			Name: "n1", DataDir: o.dir, HTTPAddr: "127.0.0.1:0", GRPCAddr: "127.0.0.1:0", RaftAddr: "127.0.0.1:0", BootstrapExpect: 1,
			AdoptCopy: o.adopt, Timing: raftnet.DefaultTiming(), Log: slog.New(slog.DiscardHandler), Ready: func(a Addrs) { up <- a },
		})
	}()
	select {
	case err := <-ended:
		cancel()
		return err
	case at := <-up:
		c, err := client.New([]string{at.GRPC})
		if err != nil {
			o.t.Fatal(err)
		}
		o.client = c
		o.stop = func() error {
			cancel()
			return errors.Join(c.Close(), <-ended)
		}
		return nil
	}
}

// create makes a namespace: an acknowledged write.
func (o *one) create(name string) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), 30*time.Second)
	defer cancel()
	if _, err := o.client.Namespaces.Create(ctx, &callboardv1.NamespaceServiceCreateRequest{Name: name}); err != nil {
		o.t.Fatal(err)
	}
}

func (o *one) has(name string) bool {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), 30*time.Second)
	defer cancel()
	list, err := o.client.Namespaces.List(ctx, &callboardv1.NamespaceServiceListRequest{Limit: 100})
	if err != nil {
		o.t.Fatal(err)
	}
	for _, namespace := range list.GetNamespaces() {
		if namespace.GetName() == name {
			return true
		}
	}
	return false
}

func (o *one) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// newOne makes a node that has acknowledged two writes, and has ended.
func newOne(t *testing.T) *one {
	t.Helper()
	o := &one{t: t, dir: filepath.Join(t.TempDir(), "data")}
	o.must(o.start())
	o.create("first")
	o.create("second")
	o.must(o.stop())
	return o
}

// spoilNewestMeta flips a bit in the page of the log that the last write was for.
func spoilNewestMeta(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "raft.db")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := os.Getpagesize()
	if binary.LittleEndian.Uint64(content[64:]) > binary.LittleEndian.Uint64(content[at+64:]) {
		at = 0
	}
	content[at+40] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A node that has lost its newest write does not start, says which file and what to do, and starts without it once the loss is accepted.
func TestALossHasToBeAccepted(t *testing.T) {
	o := newOne(t)
	spoilNewestMeta(t, o.dir)
	for range 2 {
		err := o.start()
		if err == nil {
			_ = o.stop()
			t.Fatal("it answers")
		}
		for _, want := range []string{filepath.Join(o.dir, "raft.db"), "meta page", "accept-loss --data-dir " + o.dir} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v\n does not say %q", err, want)
			}
		}
	}
	if _, err := AcceptLoss(o.dir, true, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if err := o.start(); err == nil {
		t.Fatal("a dry run has accepted the loss")
	}
	a, err := AcceptLoss(o.dir, false, slog.New(slog.DiscardHandler))
	o.must(err)
	if report := strings.Join(a.Report, "\n"); !strings.Contains(report, "LOST: entries") {
		t.Errorf("it does not say what is lost:\n%s", report)
	}
	o.must(o.start())
	if !o.has("first") {
		t.Error("what was not lost is missing")
	}
	o.create("third")
	o.must(o.stop())
	o.must(o.start())
	if !o.has("third") {
		t.Error("what came after is missing")
	}
	o.must(o.stop())
}

// The mark knows whose directory it is when node.json does not.
func TestAnIdentityThatIsLostCanBeMadeAnew(t *testing.T) {
	o := newOne(t)
	path := filepath.Join(o.dir, identityFile)
	was, err := os.ReadFile(path)
	o.must(err)
	before, err := readIdentity(o.dir)
	o.must(err)
	for name, damaged := range map[string][]byte{
		"one letter": bytes.Replace(was, []byte(`"n1-`), []byte(`"n2-`), 1),
		"half":       was[:len(was)/2],
		"missing":    nil,
	} {
		o.must(os.Remove(path))
		if damaged != nil {
			o.must(os.WriteFile(path, damaged, 0o600))
		}
		if err := o.start(); !errors.Is(err, raftnet.ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Fatalf("%s: %v", name, err)
		}
		a, err := AcceptLoss(o.dir, false, slog.New(slog.DiscardHandler))
		o.must(err)
		o.must(o.start())
		if !o.has("second") {
			t.Errorf("%s: something is lost", name)
		}
		o.must(o.stop())
		if id, err := readIdentity(o.dir); err != nil || id.NodeID != a.NodeID || !strings.Contains(string(was), id.NodeID) || id.ClusterID == "" {
			t.Errorf("%s: it is %+v now: %v", name, id, err)
		} else if id.Starts <= before.Starts {
			t.Errorf("%s: the others take it for a start before %d: %d", name, before.Starts, id.Starts)
		}
	}
}

func TestACopyStartsWhenItIsAdopted(t *testing.T) {
	o := newOne(t)
	copied := o.dir + "-copied"
	o.must(exec.Command("cp", "-a", o.dir, copied).Run())
	o.dir = copied
	if err := o.start(); err == nil {
		o.must(o.stop())
		t.Skip("this file system knows no birth of files")
	} else if !errors.Is(err, raftnet.ErrCopy) || !strings.Contains(err.Error(), "--adopt-copy") {
		t.Fatal(err)
	}
	for _, o.adopt = range []bool{true, false} {
		o.must(o.start())
		if !o.has("second") {
			t.Error("something is lost")
		}
		o.must(o.stop())
	}
}

// What is said depends on whether there is anybody to learn from.
func TestAMemberOfThreeIsToldToRejoin(t *testing.T) {
	n := &node{cfg: Config{DataDir: t.TempDir(), BootstrapExpect: 3, Join: []string{"n2:6423"}}}
	if err := n.advise(raftnet.ErrDamaged); !strings.Contains(err.Error(), "--rejoin-blank") || strings.Contains(err.Error(), "accept-loss") {
		t.Error(err)
	}
}
