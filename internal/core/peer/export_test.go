package peer

import "context"

// Tick does what one round of Run does, and then the checks that wait.
func (s *Service) Tick(ctx context.Context) {
	s.tick(ctx)
	s.Checks()
}

// Checks makes the checks that wait.
func (s *Service) Checks() {
	for {
		select {
		case c := <-s.checks:
			s.check(c)
		default:
			return
		}
	}
}
