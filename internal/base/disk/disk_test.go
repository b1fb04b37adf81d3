package disk

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestOf(t *testing.T) {
	s, err := Of(t.TempDir())
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil || s.Free <= 0 || s.Free > s.Total {
		t.Fatalf("%+v %v", s, err)
	}
	if _, err := Of(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Fatal("a directory that is not there has space")
	}
}
