package server

import (
	"errors"
	"os"
)

// A spool writes a file while its caller makes what comes next, and has the disk take it
// in as it comes, so that what is left to wait for at the end is little.
type spool struct {
	file   *os.File
	blocks chan []byte
	free   chan []byte
	ended  chan error // what became of the file, once
	block  []byte     // being filled
}

const (
	spoolBlock = 1 << 20
	spoolDepth = 8
	spoolSync  = 32 // blocks
)

func newSpool(file *os.File) *spool {
	s := &spool{file: file, blocks: make(chan []byte, spoolDepth), free: make(chan []byte, spoolDepth+2), ended: make(chan error, 1)}
	go s.run()
	return s
}

// run writes the blocks that come, and after an error drops them.
func (s *spool) run() {
	var err error
	count := 0
	for block := range s.blocks {
		if err == nil {
			_, err = s.file.Write(block)
		}
		if count++; err == nil && count%spoolSync == 0 {
			err = s.file.Sync()
		}
		select {
		case s.free <- block[:0]:
		default:
		}
	}
	s.ended <- err
}

// Write implements io.Writer. An error of the file comes with Close.
func (s *spool) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		if s.block == nil {
			select {
			case s.block = <-s.free:
			default:
				s.block = make([]byte, 0, spoolBlock)
			}
		}
		n := min(len(p), spoolBlock-len(s.block))
		s.block, p = append(s.block, p[:n]...), p[n:]
		if len(s.block) == spoolBlock {
			s.blocks <- s.block
			s.block = nil
		}
	}
	return written, nil
}

// Close returns when everything is on the disk.
func (s *spool) Close() error {
	if s.block != nil {
		s.blocks <- s.block
	}
	close(s.blocks)
	return errors.Join(<-s.ended, s.file.Sync(), s.file.Close())
}
