package deliver_test

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"postroad/internal/apptest"
	"postroad/internal/config"
	"postroad/internal/core/message"
)

// BenchmarkDeliver takes messages from Submit to the end of their delivery to
// one destination. cpu-us/op is the process time of a message, a simple sink's
// included.
func BenchmarkDeliver(b *testing.B) {
	s := apptest.Start(b, apptest.Options{Mode: config.Serve})
	dom := s.AddDomain(from)
	k := s.World.Sink(b, "mx.fast.test", script{})
	s.World.MX(b, "fast.test", k.Host)
	off := false
	submit := func(i int) {
		id := fmt.Sprintf("%d@%s", i, from)
		raw := "From: a@" + from + "\r\nTo: x@fast.test\r\nSubject: s\r\nMessage-Id: <" + id + ">\r\n\r\nHello there.\r\n"
		sub := &message.Submission{Domain: dom, MIME: []byte(raw), MessageID: id, Recipients: []message.Recipient{{Address: "x@fast.test"}}}
		sub.Meta.Options.DKIM = &off
		sub.Meta.Recipients = []string{"x@fast.test"}
		if _, _, err := s.Messages.Submit(context.Background(), sub); err != nil {
			b.Error(err)
		}
	}
	run := func(n int) {
		goal := s.Engine.Stats.Delivered.Load() + int64(n)
		var wg sync.WaitGroup
		for w := range 64 {
			wg.Go(func() {
				for i := w; i < n; i += 64 {
					submit(i)
				}
			})
		}
		wg.Wait()
		for s.Engine.Stats.Delivered.Load() < goal {
			c := time.After(time.Millisecond)
			<-c
		}
	}
	run(2000)
	began := cpu()
	b.ResetTimer()
	run(b.N)
	b.StopTimer()
	b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-us/op")
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
