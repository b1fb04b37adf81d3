//go:build unix

package smtp

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

func BenchmarkLoopback10KB(b *testing.B) {
	for _, conns := range []int{1, 32} {
		b.Run(fmt.Sprintf("conns=%d", conns), func(b *testing.B) {
			_, addr := serve(b, Config{Backend: &sink{}})
			msg := testMessage(10 << 10)
			env := Envelope{From: "a@example.com", To: []string{"b@example.com"}}
			var bufs Buffers
			clients := make([]*Client, conns)
			for i := range clients {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					b.Fatal(err)
				}
				clients[i], err = NewClient(context.Background(), conn, ClientOptions{HELO: "bench.example.com", Buffers: &bufs})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(msg.Size())
			b.ReportAllocs()
			cpu := cpuTime(b)
			b.ResetTimer()
			var wg sync.WaitGroup
			for i, c := range clients {
				n := b.N / conns
				if i < b.N%conns {
					n++
				}
				wg.Go(func() {
					for range n {
						if _, err := c.Send(context.Background(), env, msg); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64((cpuTime(b)-cpu).Nanoseconds())/float64(b.N), "cpu-ns/op")
			for _, c := range clients {
				_ = c.Close()
			}
		})
	}
}

// cpuTime is the processor time used by this process so far.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
