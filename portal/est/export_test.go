package est

import "time"

// SetDelay has wrong codes answered after a time. It is called before Run.
func (s *Server) SetDelay(d time.Duration) { s.delay = d }
