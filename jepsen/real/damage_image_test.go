//go:build unix

package real_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/callboard/callboard/jepsen/real"
)

// image is the data directory of a node that is down, as it was at a moment. It keeps a hard link of each file beside what the file held, so
// that a file that was removed comes back as the same file: a node knows the birth of its mark.
type image struct {
	dir, links string
	files      map[string][]byte // by path in the directory
}

func imageOf(n *real.Node, links string) (*image, error) {
	im := &image{dir: n.DataDir, links: links, files: map[string][]byte{}}
	return im, filepath.WalkDir(im.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(im.dir, path)
		if err != nil || entry.IsDir() {
			return errors.Join(err, os.MkdirAll(filepath.Join(links, name), 0o700))
		}
		im.files[name], err = os.ReadFile(path)
		return errors.Join(err, os.Link(path, filepath.Join(links, name)))
	})
}

// restore makes the directory what it was, with the same files.
func (im *image) restore() error {
	for name, content := range im.files {
		path, link := filepath.Join(im.dir, name), filepath.Join(im.links, name)
		if !sameFile(path, link) {
			if err := errors.Join(os.RemoveAll(path), os.MkdirAll(filepath.Dir(path), 0o700), os.Link(link, path)); err != nil {
				return err
			}
		}
		now, err := os.ReadFile(path)
		if err == nil && !bytes.Equal(now, content) {
			err = os.WriteFile(path, content, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return filepath.WalkDir(im.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(im.dir, path)
		if _, known := im.files[name]; err == nil && !known {
			err = os.Remove(path)
		}
		return err
	})
}

func sameFile(one, other string) bool {
	a, errA := os.Stat(one)
	b, errB := os.Stat(other)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// overwrite writes one file of the image into the directory's own file, as `cp` does over a file that is there.
func (im *image) overwrite(name string) error {
	return os.WriteFile(filepath.Join(im.dir, name), im.files[name], 0o600)
}

// replace puts the image in the place of the whole directory, all of it new files, as a backup that is restored does.
func (im *image) replace() error {
	if err := os.RemoveAll(im.dir); err != nil {
		return err
	}
	for name, content := range im.files {
		path := filepath.Join(im.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
			return err
		}
	}
	return nil
}
