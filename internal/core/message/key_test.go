package message

import (
	"math"
	"testing"
)

func TestKeyID(t *testing.T) {
	for _, id := range []int64{1, 1023, 1763668999123456 << 10, math.MaxInt64} {
		if got := keyID(storageKey(id)); got != id {
			t.Errorf("%d comes back as %d", id, got)
		}
	}
	for _, key := range []string{"", "BAAB", "BAAB123", "AAAB0000000000001", "BAAB000000000000!x", "baab0000000000002", "BAABzzzzzzzzzzzzz"} {
		if got := keyID(key); got != 0 {
			t.Errorf("%q is of message %d", key, got)
		}
	}
}

func FuzzKeyID(f *testing.F) {
	f.Add(storageKey(5))
	f.Add("BAAB\r\n00000000000000")
	f.Fuzz(func(t *testing.T, key string) {
		if id := keyID(key); id > 0 && keyID(storageKey(id)) != id {
			t.Errorf("%q: %d", key, id)
		}
	})
}
