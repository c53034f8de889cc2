package modules

import (
	"fmt"
	"time"
)

// DefaultWall is the longest wait of one blocking call where config{} does not
// set script_wall.
const DefaultWall = 30 * time.Second

// Wall is the longest wait of one blocking call of a generation's handlers
// (config script_wall). A function that blocks and has no timeout of its own
// waits no longer and then answers WallOver.
func Wall(g GenerationHost) time.Duration {
	if n, ok := g.Setting("script_wall").(float64); ok && n > 0 {
		return time.Duration(n * float64(time.Second))
	}
	return DefaultWall
}

// WallError tells that a call waited as long as it may: the handler ends as
// one that is over its budget, and its script cannot catch that.
type WallError struct {
	Wall time.Duration // the longest wait
}

// Error names the setting.
func (e *WallError) Error() string {
	return fmt.Sprintf("over the wall time of %s that one call may wait (config script_wall)", e.Wall)
}

// WallOver ends the handler: the call waited wall.
func WallOver(wall time.Duration) Ret { return Misuse(&WallError{wall}) }
