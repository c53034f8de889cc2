package engine

import "github.com/luasips/luasips/engine/api"

// keepBuffer is the largest message buffer that is pooled, bytes; a larger one
// goes back to the collector.
const keepBuffer = 8 << 10

// incoming is a pooled message with a copy of data.
func (e *Engine) incoming(data []byte) *api.Incoming {
	in, _ := e.incomings.Get().(*api.Incoming)
	if in == nil {
		in = api.NewIncoming(e.recycle)
	}
	if cap(in.Buf) < len(data) {
		in.Buf = make([]byte, 0, sizeClass(len(data)))
	}
	in.Buf = append(in.Buf[:0], data...)
	in.Use()
	return in
}

// sizeClass rounds up so that buffers fit the next message too.
func sizeClass(n int) int {
	switch {
	case n <= 1024:
		return 1024
	case n <= 2048:
		return 2048
	case n <= 4096:
		return 4096
	case n <= keepBuffer:
		return keepBuffer
	}
	return n
}

func (e *Engine) recycle(in *api.Incoming) {
	if cap(in.Buf) > keepBuffer {
		in.Buf = nil
	}
	in.Source = api.Source{}
	e.incomings.Put(in)
}
