//go:build unix

package real_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// door is a port of a node, and what may be sent there.
type door struct {
	name, network, addr string
	frames              []frame
}

type frame struct {
	name  string
	bytes []byte
}

// Whatever is written to the doors of a node, it closes the connection or waits its time; it does not crash, and meanwhile it serves
// everybody else.
func brokenFramesHarmNobody(s *scenario) {
	at := s.cluster.Nodes[0].Addrs
	for _, d := range []door{
		{"gRPC", "tcp", at.GRPC, append(noise(1), grpcFrames(s.T)...)},
		{"HTTP", "tcp", at.HTTP, append(noise(2), httpFrames()...)},
		{"Raft", "tcp", at.Raft, append(noise(3), raftFrames()...)},
		{"gossip over TCP", "tcp", at.Gossip, append(noise(4), gossipFrames()...)},
		{"gossip over UDP", "udp", at.Gossip, append(noise(5), gossipFrames()...)},
		{"metrics", "tcp", at.Metrics, append(noise(6), httpFrames()...)},
	} {
		s.Run(d.name, func(t *testing.T) {
			for _, f := range d.frames {
				if err := post(t.Context(), d, f.bytes); err != nil {
					t.Errorf("%s: %v", f.name, err)
				}
				s.serves(f.name + " at the " + d.name + " door")
			}
		})
	}
	s.Run("HTTP header of 2 MiB", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at.HTTP+"/health", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Long", strings.Repeat("x", 2<<20))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("status %d, want 431", res.StatusCode)
		}
	})
	s.idleConnectionsEnd(map[string]string{at.GRPC: http2.ClientPreface[:10], at.HTTP: "GET /health HTT"})
	s.memoryBelow(512 << 20)
}

// post writes a frame, and reads what comes for a moment. What the node answers and when it hangs up is its business.
func post(ctx context.Context, d door, frame []byte) error {
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, d.network, d.addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if d.network == "udp" {
		frame = frame[:min(len(frame), 60_000)]
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err = conn.Write(frame)
	var closed *net.OpError
	if err != nil && !errors.As(err, &closed) {
		return err // but a node may hang up before it has read all
	}
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, conn)
	return nil
}

// noise is bytes without a meaning, the same in every run.
func noise(seed byte) []frame {
	source := rand.NewChaCha8([32]byte{seed})
	frames := []frame{{"nothing", nil}, {"zeros", make([]byte, 4096)}, {"0xff", bytes.Repeat([]byte{0xff}, 4096)}}
	for _, n := range []int{1, 3, 16, 100, 5000, 1 << 20} {
		b := make([]byte, n)
		_, _ = source.Read(b) // never fails
		frames = append(frames, frame{fmt.Sprintf("%d random bytes", n), b})
	}
	return frames
}

func grpcFrames(t *testing.T) []frame {
	preface := []byte(http2.ClientPreface)
	settings := []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}
	open := append(append([]byte(nil), preface...), settings...)
	header := func(payload []byte) []byte {
		var b bytes.Buffer
		f := http2.NewFramer(&b, nil)
		f.AllowIllegalWrites = true
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: payload, EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	call := header(headerBlock(t, "/callboard.v1.SessionService/Connect"))
	random := make([]byte, 64)
	_, _ = rand.NewChaCha8([32]byte{9}).Read(random)
	return []frame{
		{"half a preface", preface[:12]},
		{"a preface and noise", append(append([]byte(nil), preface...), random...)},
		{"HTTP/1", []byte("GET /actors HTTP/1.1\r\nHost: x\r\n\r\n")},
		{"a frame of 16 MiB", append(open[:len(open):len(open)], 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1)},
		{"a header block that is none", append(open[:len(open):len(open)], header(random)...)},
		{"a header of 1 MiB", append(open[:len(open):len(open)], giantHeader(t)...)},
		{"a message that is none", append(append(open[:len(open):len(open)], call...), data(append([]byte{0, 0, 0, 0, 64}, random...))...)},
		{"a message of 4 GiB that never comes", append(append(open[:len(open):len(open)], call...), data([]byte{0, 0xff, 0xff, 0xff, 0xff, 1})...)},
		{"a compressed message that is none", append(append(open[:len(open):len(open)], call...), data(append([]byte{1, 0, 0, 0, 64}, random...))...)},
		{"a thousand streams reset at once", append(open[:len(open):len(open)], rapidReset(t)...)},
	}
}

func headerBlock(t *testing.T, path string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", "x"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		if err := e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// giantHeader is a header block in as many frames as it takes.
func giantHeader(t *testing.T) []byte {
	var block, out bytes.Buffer
	if err := hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: "x-long", Value: strings.Repeat("x", 1<<20)}); err != nil {
		t.Fatal(err)
	}
	f := http2.NewFramer(&out, nil)
	const most = 16 << 10
	rest := block.Bytes()
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: rest[:most]}); err != nil {
		t.Fatal(err)
	}
	for rest = rest[most:]; len(rest) > 0; {
		n := min(most, len(rest))
		if err := f.WriteContinuation(1, n == len(rest), rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	return out.Bytes()
}

func data(payload []byte) []byte {
	var b bytes.Buffer
	f := http2.NewFramer(&b, nil)
	_ = f.WriteData(1, false, payload) // to memory
	return b.Bytes()
}

func rapidReset(t *testing.T) []byte {
	var b bytes.Buffer
	f := http2.NewFramer(&b, nil)
	for id := uint32(1); id < 2000; id += 2 {
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headerBlock(t, "/callboard.v1.ActorService/List"), EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
		if err := f.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func httpFrames() []frame {
	const post = "POST /actors?namespace=default HTTP/1.1\r\nHost: x\r\n"
	return []frame{
		{"half a request", []byte("GET /hea")},
		{"a preface of HTTP/2", []byte(http2.ClientPreface)},
		{"two lengths", []byte(post + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nzz")},
		{"a length that is none", []byte(post + "Content-Length: -1\r\n\r\n")},
		{"a chunk of 2^64", []byte(post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx")},
		{"a body that never comes", []byte(post + "Content-Length: 1000000\r\n\r\n{")},
		{"a line of 2 MiB", []byte("GET /" + strings.Repeat("x", 2<<20) + " HTTP/1.1\r\nHost: x\r\n\r\n")},
		{"ten thousand headers", []byte("GET /health HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 10_000) + "\r\n")},
	}
}

// raftFrames are calls of Raft's own protocol with a body that is none: MessagePack that promises more than there is.
func raftFrames() []frame {
	var frames []frame
	for kind := range byte(6) {
		for _, body := range [][]byte{{0xdd, 0xff, 0xff, 0xff, 0xff}, {0xc6, 0xff, 0xff, 0xff, 0xff}, {0xdf, 0xff, 0xff, 0xff, 0xff}, bytes.Repeat([]byte{0x91}, 100_000)} {
			frames = append(frames, frame{fmt.Sprintf("a call of kind %d with a body %x…", kind, body[:4]), append([]byte{kind}, body...)})
		}
	}
	return frames
}

// gossipFrames are messages of each kind that memberlist knows, with bodies that are none.
func gossipFrames() []frame {
	var frames []frame
	for kind := range byte(15) {
		frames = append(
			frames,
			frame{fmt.Sprintf("a message of kind %d that promises 4 GiB", kind), append([]byte{kind}, binary.BigEndian.AppendUint32(nil, 1<<32-1)...)},
			frame{fmt.Sprintf("a labelled message of kind %d", kind), append(append([]byte{244, 9}, "callboard"...), kind, 0xdd, 0xff, 0xff, 0xff, 0xff)},
		)
	}
	return frames
}

// idleConnectionsEnd opens many connections to each address, says the beginning of something and never goes on: the node serves others,
// and hangs up on these.
func (s *scenario) idleConnectionsEnd(beginnings map[string]string) {
	s.Helper()
	const each = 100
	var conns []net.Conn
	for addr, beginning := range beginnings {
		for range each {
			conn, err := (&net.Dialer{}).DialContext(s.Context(), "tcp", addr)
			s.must(err)
			defer func() { _ = conn.Close() }()
			_, err = io.WriteString(conn, beginning)
			s.must(err)
			conns = append(conns, conn)
		}
	}
	began := time.Now()
	const promise = 15 * time.Second
	s.serves(fmt.Sprintf("%d connections that say nothing", len(conns)))
	for _, conn := range conns {
		s.must(conn.SetReadDeadline(began.Add(wide(promise))))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			s.Fatalf("a connection to %s that says nothing is open after %v", conn.RemoteAddr(), round(time.Since(began)))
		}
	}
	s.promised(fmt.Sprintf("until %d connections that say nothing are closed", len(conns)), time.Since(began), promise)
}

// memoryBelow fails when the node has ever held more than that, on systems that tell.
func (s *scenario) memoryBelow(limit int) {
	s.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cluster.Nodes[0].PID()))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	s.must(err)
	for line := range strings.Lines(string(status)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			s.Logf("the node has held %d MiB at most", kib>>10)
			if kib<<10 > limit {
				s.Errorf("the node has held %d MiB", kib>>10)
			}
		}
	}
}
