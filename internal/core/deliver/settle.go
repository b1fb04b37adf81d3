package deliver

import (
	"context"
	"fmt"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/core/message"
	"postroad/internal/core/queue"
)

// settleBatch bounds the outcomes of one transaction.
const settleBatch = 200

// settled codes of outcomes that an operator decided.
const (
	bouncedCode = 554 // the operator returned it
	droppedCode = 650 // the operator ended it
)

// Settle records final outcomes that were decided without an attempt: queue.
// Options.Settle. Each makes the failed event that an attempt would have made, a
// dropped delivery too: who asks what became of a message finds an answer, and
// its reason. None of them puts an address on the bounces list.
//
// A delivery whose time was over before the program started gets another hour,
// once, when its sender set no limit: that we were down is not its fault.
func (e *Engine) Settle(ctx context.Context, list []*queue.Delivery, o queue.Order) error {
	var batch []entry
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].MessageID == list[0].MessageID && n < settleBatch-len(batch) {
			n++
		}
		entries, err := e.settle(ctx, list[:n], o)
		if err != nil {
			return err
		}
		batch = append(batch, entries...)
		list = list[n:]
		if len(batch) < settleBatch && len(list) > 0 {
			continue
		}
		if err := e.commit(ctx, batch); err != nil {
			return fmt.Errorf("settling deliveries: %w", err)
		}
		for i := range batch {
			if batch[i].revive != nil {
				continue
			}
			e.count(batch[i].o)
			e.logAttempt(batch[i].msg, batch[i].o)
		}
		batch = nil
	}
	return nil
}

// settle makes the outcomes of deliveries of one message.
func (e *Engine) settle(ctx context.Context, list []*queue.Delivery, order queue.Order) ([]entry, error) {
	msg, ok := list[0].Payload.(*message.Message)
	if !ok {
		var err error
		if msg, err = e.Messages.ByID(ctx, list[0].MessageID); err != nil && !errs.Is(err, errs.NotFound) {
			return nil, err
		}
	}
	out, outcomes := make([]entry, len(list)), make([]*outcome, len(list))
	for i, d := range list {
		o := &outcome{d: d, began: e.clock.Now(), unattempted: true}
		out[i], outcomes[i] = entry{o: o, msg: msg}, o
		if order.Kind == queue.Expire && e.missed(msg, d) {
			out[i].revive = e.revived(msg, d)
			continue
		}
		o.order(order)
		if msg != nil { // nil: its domain was deleted, nobody is left to tell
			out[i].events = e.sealed(msg, o)
		}
	}
	return out, e.notify(ctx, out, e.told(msg, outcomes))
}

// revival is how long what missed its time because the program was down may
// still take.
const revival = time.Hour

// missed reports whether the time of a delivery was over before this program
// started, though its sender set no limit.
func (e *Engine) missed(msg *message.Message, d *queue.Delivery) bool {
	return msg != nil && e.clock.Now().Before(e.started.Add(revival)) && msg.Meta.Options.DeliverWithin == 0 && d.Deadline <= e.started.UnixMicro()
}

// revived is the delivery with more time. It is a new one, because the queue never
// moves the deadline of one it has.
func (e *Engine) revived(msg *message.Message, d *queue.Delivery) *queue.Delivery {
	return &queue.Delivery{ID: e.Messages.IDs.Next(), MessageID: d.MessageID, DomainID: d.DomainID, AccountID: d.AccountID, Recipient: d.Recipient,
		Destination: d.Destination, Tag: d.Tag, Pool: d.Pool, Due: e.clock.Now().UnixMicro(), Deadline: e.started.Add(revival).UnixMicro(),
		Tries: d.Tries, FirstAt: d.FirstAt, Vars: d.Vars, Signature: d.Signature, Last: d.Last, Payload: msg}
}

// order gives the outcome that an order asks for.
func (o *outcome) order(order queue.Order) {
	switch order.Kind {
	case queue.Bounce:
		o.permfail(bouncedCode, "5.0.0", because("returned by the operator", order.Reason), "generic")
	case queue.Drop:
		o.permfail(droppedCode, "", because("dropped by the operator", order.Reason), "generic")
	default:
		o.expire()
		if order.Reason != "" && o.status.Description == "" {
			o.status.Description = order.Reason
		}
	}
}

func because(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + clip(why)
}
