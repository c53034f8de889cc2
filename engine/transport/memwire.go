package transport

// Wire is a network in memory.
type Wire struct{ systemNet }
