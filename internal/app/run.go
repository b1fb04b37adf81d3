package app

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"postroad/internal/mail/smtp"
)

const (
	eventRetention   = 30 * 24 * time.Hour // Mailgun: events are kept 30 days
	webhookRetention = 30 * 24 * time.Hour
)

// Run serves until ctx ends or something essential fails, then stops in two
// phases: nothing new is taken, then what is under way is finished within the
// shutdown time.
func (a *App) Run(ctx context.Context) error {
	defer a.close()
	servers := &loops{errs: make(chan error, 8)}
	a.serveHTTP(servers)
	a.serveMail(servers)

	// The workers outlive the listeners; sessions outlive the workers' loop.
	work, stopWork := context.WithCancel(context.Background())
	defer stopWork()
	sessions, cutSessions := context.WithCancel(context.Background())
	defer cutSessions()
	// What sessions ask goes on until the last of them has ended.
	last, stopLast := context.WithCancel(context.Background())
	defer stopLast()
	support := &loops{errs: servers.errs}
	support.run("peers", func() error { return a.peers.Run(last) })
	support.run("shaping", func() error { return a.shape.Run(last) })
	workers := &loops{errs: servers.errs}
	workers.run("queue", func() error { return a.queue.Run(work, sessions, a.engine.Work) })
	workers.run("watchdog", func() error { return a.engine.Run(work) })
	workers.run("tags", func() error { return a.tags.Run(work) })
	workers.run("webhooks", func() error { return a.webhooks.Run(work) })
	workers.run("posts to lists", func() error { return a.messages.RunExpansion(work) })
	workers.run("list uploads", func() error { return a.lists.RunUploads(work) })
	workers.run("opens and clicks", func() error { return a.track.Run(work) })
	workers.run("places", func() error { return a.runPlaces(work) })
	workers.run("timing", func() error { return a.timing.Run(work) })
	workers.run("imports of suppressions", func() error { return a.suppress.RunImports(work) })
	workers.run("mail of workspaces", func() error { return a.workspaces.Run(work) })
	workers.run("retention", func() error { return a.messages.RunExpiry(work, 10*time.Minute) })
	workers.run("shedding", func() error { return a.shed.run(work) })
	workers.run("housekeeping", func() error { return a.housekeeping(work) })
	workers.run("certificates", func() error { return a.watchCerts(work) })
	workers.run("campaigns", func() error { return a.gateway.RunCampaigns(work) })
	workers.run("gateway", func() error { return a.gateway.RunCleaning(work) })
	workers.run("domains", func() error { return a.checkDomains(work) })
	a.log.Info("ready", "http", address(a.http), "https", address(a.https), "smtp", a.mailAddresses(), "after", a.clock.Now().Sub(a.started).String())

	var err error
	select {
	case <-ctx.Done():
	case err = <-servers.errs:
		a.log.Error("stopping", "error", err)
	}
	close(a.stopping)
	a.log.Info("stopping: no new mail is taken, deliveries under way are finished")
	limit, cancel := context.WithTimeout(context.Background(), a.cfg.ShutdownTimeout)
	defer cancel()
	intake, done := context.WithTimeout(limit, a.cfg.ShutdownTimeout*2/3) // the rest is for deliveries under way
	a.stopServers(intake)
	done()
	servers.wg.Wait()
	context.AfterFunc(limit, cutSessions)
	stopWork()
	workers.wg.Wait()
	stopLast()
	support.wg.Wait()
	a.log.Info("stopped")
	return err
}

func address(l net.Listener) string {
	if l == nil {
		return "off"
	}
	return l.Addr().String()
}

func (a *App) serveHTTP(l *loops) {
	a.httpServer = &http.Server{Handler: a.handler, ReadHeaderTimeout: 20 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		WriteTimeout: 10 * time.Minute, // live streams set their own
		ErrorLog:     quietLog(a.log)}
	if a.http != nil {
		l.run("http", func() error { return ignoreClosed(a.httpServer.Serve(a.http)) })
	}
	if a.https != nil {
		tl := tls.NewListener(a.https, a.certs.HTTPS())
		l.run("https", func() error { return ignoreClosed(a.httpServer.Serve(tl)) })
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, smtp.ErrServerClosed) {
		return nil
	}
	return err
}

func (a *App) stopServers(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := a.httpServer.Shutdown(ctx); err != nil {
			a.log.Warn("requests were cut off", "error", err)
			a.httpServer.Close()
		}
	})
	for _, m := range a.mail {
		wg.Go(func() {
			if err := m.server.Shutdown(ctx); err != nil {
				a.log.Warn("smtp sessions were cut off", "error", err)
			}
		})
	}
	wg.Wait()
}

// housekeeping drops what is past its retention.
func (a *App) housekeeping(ctx context.Context) error {
	for {
		now := a.clock.Now()
		if _, err := a.events.DropBefore(ctx, now.Add(-eventRetention)); err != nil && ctx.Err() == nil {
			a.log.Error("event retention", "error", err)
		}
		if _, err := a.webhooks.DeleteBefore(ctx, now.Add(-webhookRetention)); err != nil && ctx.Err() == nil {
			a.log.Error("webhook retention", "error", err)
		}
		if err := a.feedback.Clean(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("retention of providers' events", "error", err)
		}
		if err := a.cleanReplays(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("signed requests", "error", err)
		}
		if err := a.resend.Clean(ctx, now.Add(-eventRetention).UnixMicro()); err != nil && ctx.Err() == nil {
			a.log.Error("emails of the bearer API", "error", err)
		}
		if !a.pause(ctx, 5*time.Minute) {
			return nil
		}
	}
}

// checkDomains looks up the records of pending domains. It is a loop of its own
// because slow name servers may hold a round up for many minutes.
func (a *App) checkDomains(ctx context.Context) error {
	if a.dev() || a.cfg.AssumeVerified {
		return nil
	}
	for {
		if _, err := a.domains.VerifyPending(ctx, 50); err != nil && ctx.Err() == nil {
			a.log.Error("checking domains", "error", err)
		}
		if err := a.domains.VerifyActive(ctx, 50); err != nil && ctx.Err() == nil {
			a.log.Error("checking active domains", "error", err)
		}
		if !a.pause(ctx, 5*time.Minute) {
			return nil
		}
	}
}

// pause waits; false when ctx ended.
func (a *App) pause(ctx context.Context, d time.Duration) bool {
	c, stop := a.clock.After(d)
	defer stop()
	select {
	case <-ctx.Done():
		return false
	case <-c:
		return true
	}
}
