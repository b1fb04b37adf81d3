package event

import (
	"context"

	"postroad/internal/base/db"
)

// StageNow writes an event sealed before.
func (s *Service) StageNow(ctx context.Context, e *Event) error {
	return s.db.Write(ctx, func(tx *db.Tx) error { return s.Stage(tx, e) })
}
