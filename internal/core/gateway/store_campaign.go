package gateway

import (
	"database/sql"
	"encoding/json"

	"postroad/internal/base/db"
)

const campaignColumns = "id, uuid, key_hash, sealed, driver, account_id, name, doc, html, status, recipients, batches, batches_done, sent, failed, created_at, started_at, finished_at"

func scanCampaign(r interface{ Scan(...any) error }) (*campaign, error) {
	c := &campaign{}
	var doc string
	if err := r.Scan(&c.id, &c.uuid, &c.keyHash, &c.sealed, &c.driver, &c.accountID, &c.name, &doc, &c.html, &c.status,
		&c.recipients, &c.batches, &c.batchesDone, &c.sent, &c.fails, &c.created, &c.started, &c.finished); err != nil {
		return nil, err
	}
	return c, json.Unmarshal([]byte(doc), &c.doc)
}

// insertCampaign gives the campaign the next number. Campaigns are never deleted, so
// that no number is given twice.
func insertCampaign(tx *db.Tx, c *campaign, audience []byte) (id int64, err error) {
	doc, err := json.Marshal(&c.doc)
	if err != nil {
		return 0, err
	}
	if err := tx.QueryRow("SELECT COALESCE(MAX(id), 0) + 1 FROM gateway_campaign").Scan(&id); err != nil {
		return 0, err
	}
	_, err = tx.Exec("INSERT INTO gateway_campaign ("+campaignColumns+", audience) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, 0, 0, 0, 0, ?, 0, 0, ?)",
		id, c.uuid, c.keyHash, c.sealed, c.driver, c.accountID, c.name, string(doc), pending, c.recipients, c.created, audience)
	return id, err
}

func selectCampaign(tx *db.Tx, uuid string) (*campaign, error) {
	return scanCampaign(tx.QueryRow("SELECT "+campaignColumns+" FROM gateway_campaign WHERE uuid = ?", uuid))
}

// selectCampaigns returns campaigns of a key, the newest first, without templates.
func selectCampaigns(tx *db.Tx, keyHash string, before int64, limit int) (out []*campaign, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		c, err := scanCampaign(r)
		out = append(out, c)
		return err
	}, "SELECT id, uuid, key_hash, '', driver, account_id, name, doc, '', status, recipients, batches, batches_done, sent, failed, created_at, started_at, finished_at"+
		" FROM gateway_campaign WHERE key_hash = ? AND id < ? ORDER BY id DESC LIMIT ?", keyHash, before, limit)
	return out, err
}

func selectAudience(tx *db.Tx, id int64) (text []byte, err error) {
	err = tx.QueryRow("SELECT audience FROM gateway_campaign WHERE id = ?", id).Scan(&text)
	return text, err
}

// startCampaign reports whether the campaign was pending.
func startCampaign(tx *db.Tx, c *campaign, html string, recipients, failed int64) (bool, error) {
	n, err := tx.Exec("UPDATE gateway_campaign SET status = ?, html = ?, audience = ?, recipients = ?, failed = ?, started_at = ? WHERE id = ? AND status = ?",
		processing, html, []byte{}, recipients, failed, tx.Now, c.id, pending)
	return n == 1, err
}

func setBatches(tx *db.Tx, id, n int64) error {
	_, err := tx.Exec("UPDATE gateway_campaign SET batches = ? WHERE id = ?", n, id)
	return err
}

// moveCampaign reports whether the campaign had the status from.
func moveCampaign(tx *db.Tx, id int64, from, to string) (bool, error) {
	n, err := tx.Exec("UPDATE gateway_campaign SET status = ? WHERE id = ? AND status = ?", to, id, from)
	return n == 1, err
}

// moveBatches changes the status of batches that nobody is sending. The time for
// trying begins anew for those that no provider can have.
func moveBatches(tx *db.Tx, id int64, from, to string) error {
	_, err := tx.Exec("UPDATE gateway_batch SET status = ?, first_try = CASE WHEN doubt = 1 THEN first_try ELSE 0 END WHERE campaign_id = ? AND status = ?", to, id, from)
	return err
}

// addBatches counts one batch that became n.
func addBatches(tx *db.Tx, id, n int64) error {
	_, err := tx.Exec("UPDATE gateway_campaign SET batches = batches + ?, batches_done = batches_done + 1 WHERE id = ?", n, id)
	return err
}

// countBatch counts what became of a batch. With the last one the campaign ends, and
// the provider's key goes.
func countBatch(tx *db.Tx, id, sent, failed int64) error {
	if _, err := tx.Exec("UPDATE gateway_campaign SET sent = sent + ?, failed = failed + ?, batches_done = batches_done + 1 WHERE id = ?", sent, failed, id); err != nil {
		return err
	}
	_, err := tx.Exec("UPDATE gateway_campaign SET status = CASE WHEN sent > 0 THEN '"+completed+"' ELSE '"+failedAll+"' END, sealed = '', finished_at = ? WHERE id = ? AND batches_done = batches", tx.Now, id)
	return err
}

func insertBatch(tx *db.Tx, b *batch) error {
	to, err := json.Marshal(b.to)
	if err != nil {
		return err
	}
	failures, err := json.Marshal(b.failures)
	if err != nil {
		return err
	}
	_, err = tx.Exec("INSERT INTO gateway_batch (campaign_id, n, provider, status, due, tries, first_try, doubt, recipients, failures) VALUES (?, ?, ?, ?, ?, 0, 0, 0, ?, ?)",
		b.campaign, b.n, b.provider, b.status, b.due, to, failures)
	return err
}

// nextBatch returns the batch that is to be sent next; db.ErrNoRows without any.
func nextBatch(tx *db.Tx) (*batch, error) {
	b := &batch{}
	var to []byte
	var doubt int64
	err := tx.QueryRow(`SELECT b.campaign_id, b.n, b.provider, b.due, b.tries, b.first_try, b.doubt, b.recipients, c.uuid, c.driver
		FROM gateway_batch b JOIN gateway_campaign c ON c.id = b.campaign_id WHERE b.status = ? AND c.status = ? ORDER BY b.due, b.campaign_id, b.n LIMIT 1`, batchWaiting, processing).
		Scan(&b.campaign, &b.n, &b.provider, &b.due, &b.tries, &b.firstTry, &doubt, &to, &b.uuid, &b.driver)
	if err != nil {
		return nil, err
	}
	b.doubt = doubt != 0
	return b, json.Unmarshal(to, &b.to)
}

// claimBatch reports whether the batch was still free.
func claimBatch(tx *db.Tx, b *batch) (bool, error) {
	b.tries++
	if b.firstTry == 0 {
		b.firstTry = tx.Now
	}
	n, err := tx.Exec("UPDATE gateway_batch SET status = ?, tries = ?, first_try = ? WHERE campaign_id = ? AND n = ? AND status = ?",
		batchSending, b.tries, b.firstTry, b.campaign, b.n, batchWaiting)
	return n == 1, err
}

// freeBatches gives back what a program was sending when it was killed. Nobody knows
// what the provider has of it.
func freeBatches(tx *db.Tx) error {
	_, err := tx.Exec(`UPDATE gateway_batch SET doubt = 1, status = CASE
		WHEN (SELECT c.status FROM gateway_campaign c WHERE c.id = campaign_id) = ? THEN ? ELSE ? END WHERE status = ?`, paused, batchHeld, batchWaiting, batchSending)
	return err
}

// postpone gives back a batch that was claimed.
func postpone(tx *db.Tx, b *batch, due int64, doubt bool) error {
	d := 0
	if doubt {
		d = 1
	}
	_, err := tx.Exec(`UPDATE gateway_batch SET due = ?, doubt = ?, status = CASE
		WHEN (SELECT c.status FROM gateway_campaign c WHERE c.id = campaign_id) = ? THEN ? ELSE ? END WHERE campaign_id = ? AND n = ? AND status = ?`,
		due, d, paused, batchHeld, batchWaiting, b.campaign, b.n, batchSending)
	return err
}

// closeBatch ends a batch that was claimed, and reports whether it was.
func closeBatch(tx *db.Tx, b *batch, failures []Failed) (bool, error) {
	text, err := json.Marshal(failures)
	if err != nil {
		return false, err
	}
	n, err := tx.Exec("UPDATE gateway_batch SET status = ?, recipients = ?, failures = ? WHERE campaign_id = ? AND n = ? AND status = ?",
		batchDone, []byte{}, text, b.campaign, b.n, batchSending)
	return n == 1, err
}

func lastBatch(tx *db.Tx, id int64) (n int64, err error) {
	err = tx.QueryRow("SELECT MAX(n) FROM gateway_batch WHERE campaign_id = ?", id).Scan(&n)
	return n, err
}

// selectFailures returns those who get nothing, up to limit.
func selectFailures(tx *db.Tx, id int64, limit int) (out []Failed, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		var text []byte
		if err := r.Scan(&text); err != nil || len(out) >= limit {
			return err
		}
		var part []Failed
		err := json.Unmarshal(text, &part)
		out = append(out, part...)
		return err
	}, "SELECT failures FROM gateway_batch WHERE campaign_id = ? AND status = ? ORDER BY n", id, batchDone)
	return out[:min(len(out), limit)], err
}

// deleteFinished forgets the addresses of campaigns that have ended before a time.
func deleteFinished(tx *db.Tx, before int64, limit int) error {
	_, err := tx.Exec(`DELETE FROM gateway_batch WHERE (campaign_id, n) IN (SELECT b.campaign_id, b.n FROM gateway_campaign c
		JOIN gateway_batch b ON b.campaign_id = c.id WHERE c.finished_at > 0 AND c.finished_at <= ? LIMIT ?)`, before, limit)
	return err
}

// expirePending ends campaigns that were created before a time and never started.
func expirePending(tx *db.Tx, before int64) error {
	_, err := tx.Exec("UPDATE gateway_campaign SET status = ?, sealed = '', audience = ?, finished_at = ? WHERE status = ? AND created_at <= ?",
		failedAll, []byte{}, tx.Now, pending, before)
	return err
}
