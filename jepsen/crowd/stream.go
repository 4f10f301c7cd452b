package crowd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// window is how much the engine may send before it must be given room: more than it does in any run.
const window = 1 << 24

// stream is one gRPC call of SessionService.Connect on a connection of its own.
type stream struct {
	conn   net.Conn
	framer *http2.Framer
	out    bytes.Buffer
	write  sync.Mutex // heartbeats are sent from a timer, answers by the reader
	in     []byte     // of a message that has not come whole
}

// headers opens the call; every stream sends the same.
var headers = func() []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, f := range [][2]string{
		{":method", "POST"},
		{":scheme", "http"},
		{":path", callboardv1.SessionService_Connect_FullMethodName},
		{":authority", "engine"},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
		{"user-agent", "crowd"},
	} {
		_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // into a buffer
	}
	return b.Bytes()
}()

// open begins the call on a new connection.
func open(conn net.Conn) (*stream, error) {
	s := &stream{conn: conn}
	s.framer = http2.NewFramer(&s.out, conn)
	s.framer.SetReuseFrames()
	s.framer.SetMaxReadFrameSize(1 << 20)
	s.out.WriteString(http2.ClientPreface)
	err := errors.Join(
		s.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}),
		s.framer.WriteWindowUpdate(0, window),
		s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers, EndHeaders: true}),
	)
	if err != nil {
		return nil, err
	}
	return s, nil // it goes out with the first message
}

// send sends a message.
func (s *stream) send(m *callboardv1.ConnectRequest) error {
	body, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, 5, 64), m)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(body[1:], uint32(len(body)-5))
	return s.flush(func() error { return s.framer.WriteData(1, false, body) })
}

func (s *stream) flush(frame func() error) error {
	s.write.Lock()
	defer s.write.Unlock()
	if err := frame(); err != nil {
		return err
	}
	_, err := s.conn.Write(s.out.Bytes())
	s.out.Reset()
	return err
}

// receive waits for the next message.
func (s *stream) receive() (*callboardv1.ConnectResponse, error) {
	for {
		if len(s.in) >= 5 {
			if size := 5 + int(binary.BigEndian.Uint32(s.in[1:])); len(s.in) >= size {
				m := &callboardv1.ConnectResponse{}
				err := proto.Unmarshal(s.in[5:size], m)
				if s.in = s.in[size:]; len(s.in) == 0 {
					s.in = nil
				}
				return m, err
			}
		}
		if err := s.frame(); err != nil {
			return nil, err
		}
	}
}

// frame takes the next frame.
func (s *stream) frame() error {
	frame, err := s.framer.ReadFrame()
	if err != nil {
		return err
	}
	switch f := frame.(type) {
	case *http2.DataFrame:
		s.in = append(s.in, f.Data()...)
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return s.flush(s.framer.WriteSettingsAck)
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return s.flush(func() error { return s.framer.WritePing(true, f.Data) })
		}
	case *http2.HeadersFrame:
		if f.StreamEnded() {
			return io.EOF
		}
	case *http2.RSTStreamFrame:
		return fmt.Errorf("the engine reset the stream: %v", f.ErrCode)
	case *http2.GoAwayFrame:
		return fmt.Errorf("the engine goes away: %v", f.ErrCode)
	}
	return nil
}
