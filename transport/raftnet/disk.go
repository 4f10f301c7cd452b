package raftnet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// errPowerOff is what the log of a node that has crashed answers.
var errPowerOff = errors.New("raft in memory: this disk belongs to a later start of the node")

// Disk keeps one node's Raft stores in memory for a test. It outlives the node: what one start has written, the next one reads.
//
// A crash: kill the node in its Memory, call Open for the next start, then shut the former Raft down at leisure. Whatever that one
// still writes is refused or ignored, never kept; what it reads stands still.
type Disk struct {
	mu    sync.Mutex // guards the disk and its images; nothing waits while holding it
	image *image
	hangs chan struct{} // nil: writes go on
}

// NewDisk makes an empty disk.
func NewDisk() *Disk { return &Disk{image: newImage()} }

// Open gives the stores to a new start of the node. Those of the start before stop working.
func (d *Disk) Open() *Stores {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.image = d.image.clone()
	m := &mount{disk: d, image: d.image}
	return &Stores{Log: (*memoryLog)(m), Stable: (*memoryStable)(m), Snapshots: (*memorySnapshots)(m), marks: (*memoryMarks)(m), acknowledged: (*memoryLedger)(m), close: m.close}
}

// Hang makes every write of a log entry wait until what it returns is called, like a disk that answers nothing any more.
func (d *Disk) Hang() (goOn func()) {
	still := make(chan struct{})
	d.mu.Lock()
	d.hangs = still
	d.mu.Unlock()
	return sync.OnceFunc(func() {
		d.mu.Lock()
		d.hangs = nil
		d.mu.Unlock()
		close(still)
	})
}

func (d *Disk) pass() {
	d.mu.Lock()
	still := d.hangs
	d.mu.Unlock()
	if still != nil {
		<-still
	}
}

// Wipe empties the disk, like an operator who loses the data directory. The stores opened before stop working.
func (d *Disk) Wipe() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.image = newImage()
}

// Copy returns another disk with what this one holds now, like a copy of a data directory that nobody can tell from the original.
func (d *Disk) Copy() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Disk{image: d.image.clone()}
}

// mount is the disk as one start of the node sees it: current as long as both have the same image.
type mount struct {
	disk  *Disk
	image *image
}

func (m *mount) read(look func(*image)) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	look(m.image)
}

func (m *mount) write(change func(*image)) error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.image != m.disk.image {
		return errPowerOff
	}
	change(m.image)
	return nil
}

func (m *mount) close() error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.image == m.disk.image {
		m.disk.image = m.image.clone()
	}
	return nil
}

// memoryMarks has the vote floor, and of the log what can be told at any moment.
type memoryMarks mount

func (m *memoryMarks) read() (mark Mark) {
	(*mount)(m).read(func(i *image) { mark = i.mark })
	return mark
}

func (m *memoryMarks) putNow(change func(*Mark)) error {
	return (*mount)(m).write(func(i *image) { change(&i.mark) })
}

type memoryLog mount

func (l *memoryLog) FirstIndex() (index uint64, _ error) {
	(*mount)(l).read(func(i *image) { index = i.first() })
	return index, nil
}

func (l *memoryLog) LastIndex() (index uint64, _ error) {
	(*mount)(l).read(func(i *image) { index = i.last() })
	return index, nil
}

func (l *memoryLog) GetLog(index uint64, entry *raft.Log) (err error) {
	(*mount)(l).read(func(i *image) { err = i.get(index, entry) })
	return err
}

func (l *memoryLog) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

func (l *memoryLog) StoreLogs(entries []*raft.Log) error {
	l.disk.pass()
	return (*mount)(l).write(func(i *image) { i.put(entries) })
}

func (l *memoryLog) DeleteRange(low, high uint64) error {
	return (*mount)(l).write(func(i *image) { i.delete(low, high) })
}

// memoryStable ignores the writes of a node that has crashed instead of refusing them: Raft panics when it cannot save its term, and
// such a node can tell nobody of a vote any more.
type memoryStable mount

func (s *memoryStable) Get(key []byte) (value []byte, err error) {
	(*mount)(s).read(func(i *image) { value, err = i.value(key) })
	return value, err
}

func (s *memoryStable) GetUint64(key []byte) (number uint64, err error) {
	(*mount)(s).read(func(i *image) { number, err = i.number(key) })
	return number, err
}

func (s *memoryStable) Set(key, value []byte) error {
	if err := (*mount)(s).write(func(i *image) { i.values[string(key)] = slices.Clone(value) }); !errors.Is(err, errPowerOff) {
		return err
	}
	return nil
}

func (s *memoryStable) SetUint64(key []byte, number uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, number))
}

// memorySnapshots shows a snapshot once it is complete, and keeps as many as a real disk does. The library's own store in memory
// shows half of one.
type memorySnapshots mount

func (s *memorySnapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	if version != raft.SnapshotVersionMax {
		return nil, fmt.Errorf("raft in memory: snapshot version %d", version)
	}
	meta := raft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf("%d-%d", term, index), Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}
	return &memorySink{mount: (*mount)(s), meta: meta}, nil
}

func (s *memorySnapshots) List() (metas []*raft.SnapshotMeta, _ error) {
	(*mount)(s).read(func(i *image) {
		for _, kept := range slices.Backward(i.snapshots) {
			metas = append(metas, &kept.meta)
		}
	})
	return metas, nil
}

func (s *memorySnapshots) Open(id string) (meta *raft.SnapshotMeta, content io.ReadCloser, err error) {
	err = fmt.Errorf("raft in memory: no snapshot %s", id)
	(*mount)(s).read(func(i *image) {
		for _, kept := range i.snapshots {
			if kept.meta.ID == id {
				meta, content, err = &kept.meta, io.NopCloser(bytes.NewReader(kept.content)), nil
			}
		}
	})
	return meta, content, err
}

type memorySink struct {
	mount   *mount
	meta    raft.SnapshotMeta
	content bytes.Buffer
	done    bool
}

func (s *memorySink) ID() string                  { return s.meta.ID }
func (s *memorySink) Write(p []byte) (int, error) { return s.content.Write(p) }

func (s *memorySink) Cancel() error {
	s.done = true
	return nil
}

// Close makes the snapshot visible.
func (s *memorySink) Close() error {
	if s.done {
		return nil
	}
	s.done = true
	s.meta.Size = int64(s.content.Len())
	return s.mount.write(func(i *image) { i.keep(snapshot{s.meta, s.content.Bytes()}) })
}
