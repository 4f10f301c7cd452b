package certs

import "sync"

// callerFiles are the files of a client, which may live for years.
type callerFiles struct {
	files Files
	mu    sync.Mutex
	last  *material
}

func (c *callerFiles) read() *material {
	m, err := c.files.load()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.last = m
	}
	return c.last
}
