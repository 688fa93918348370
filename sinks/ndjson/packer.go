package ndjson

import "io"

// block is how many bytes are compressed at a time, of large files.
const block = 1 << 20

// maxAhead is how many blocks may be under way at most.
const maxAhead = 8

// packer compresses blocks in several goroutines and writes them in order. What
// it writes at which call of Write does not depend on how fast they are, so
// that two conversions of the same parts give the same files.
type packer struct {
	out      io.Writer
	block    int // bytes of a block, before compression
	ahead    int // blocks that are under way before the oldest is waited for
	encoders chan encode
	cur      []byte   // block that is being filled
	queue    []*job   // under way, the oldest first
	free     [][]byte // buffers to use again
}

// job is a block under way.
type job struct {
	src, dst []byte
	err      error
	done     chan struct{}
}

func newPacker(out io.Writer, block int, f format) (*packer, error) {
	p := &packer{out: out, block: block, ahead: f.ahead, encoders: make(chan encode, f.workers)}
	for range f.workers {
		e, err := f.encoder()
		if err != nil {
			return nil, err
		}
		p.encoders <- e
	}
	return p, nil
}

// Write implements io.Writer. What is written at once stays in one block,
// however long it is.
func (p *packer) Write(b []byte) (int, error) {
	if p.cur == nil {
		p.cur = p.buffer()
	}
	p.cur = append(p.cur, b...)
	if len(p.cur) < p.block {
		return len(b), nil
	}
	return len(b), p.dispatch()
}

func (p *packer) buffer() []byte {
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		return b[:0]
	}
	return make([]byte, 0, p.block+p.block/8)
}

// dispatch sends the block on its way, and retires the oldest when there are
// enough.
func (p *packer) dispatch() error {
	if len(p.cur) == 0 {
		return nil
	}
	j := &job{src: p.cur, dst: p.buffer(), done: make(chan struct{})}
	p.cur = nil
	p.queue = append(p.queue, j)
	go func() {
		e := <-p.encoders
		j.dst, j.err = e(j.dst, j.src)
		p.encoders <- e
		close(j.done)
	}()
	if len(p.queue) < p.ahead {
		return nil
	}
	return p.retire()
}

// retire waits for the oldest block and writes it.
func (p *packer) retire() error {
	j := p.queue[0]
	p.queue = p.queue[1:]
	<-j.done
	if j.err != nil {
		return j.err
	}
	if _, err := p.out.Write(j.dst); err != nil {
		return err
	}
	for _, b := range [][]byte{j.src, j.dst} {
		if cap(b) <= 4*block {
			p.free = append(p.free, b)
		}
	}
	return nil
}

// flush writes everything.
func (p *packer) flush() error {
	if err := p.dispatch(); err != nil {
		return err
	}
	for len(p.queue) > 0 {
		if err := p.retire(); err != nil {
			return err
		}
	}
	return nil
}

// drop waits for what is under way and writes nothing.
func (p *packer) drop() {
	for _, j := range p.queue {
		<-j.done
	}
	p.queue, p.cur = nil, nil
}
