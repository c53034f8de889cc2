package txn

// buffers keeps byte slices of transactions that have ended, by size: a
// lingering transaction holds little more than its last response, and a new
// one allocates nothing.
type buffers struct {
	free [maxKept/bufferStep + 1][][]byte
}

const (
	bufferStep = 128  // bytes between size classes
	maxKept    = 2048 // larger ones go to the collector
)

// copyOf is a copy of b in a slice little larger than it.
func (p *buffers) copyOf(b []byte) []byte {
	class := (len(b) + bufferStep - 1) / bufferStep
	if class < len(p.free) {
		if f := p.free[class]; len(f) > 0 {
			dst := f[len(f)-1]
			p.free[class] = f[:len(f)-1]
			return append(dst, b...)
		}
	}
	return append(make([]byte, 0, class*bufferStep), b...)
}

// put takes a slice back.
func (p *buffers) put(b []byte) {
	if class := cap(b) / bufferStep; class > 0 && class < len(p.free) {
		p.free[class] = append(p.free[class], b[:0])
	}
}
