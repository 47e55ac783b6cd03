package gate

// Tend does what the gate does every second.
func (g *Gate) Tend() { g.tend() }

// Halt leaves it to Tend.
func (g *Gate) Halt() { g.halt() }
