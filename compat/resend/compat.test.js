// Drives a running server with Resend's SDK. The Go test beside this directory
// starts the server and sets the environment; see ../resend_test.go.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import test from 'node:test';
import { Resend } from 'resend';
import { Webhook } from 'svix';

const { POSTROAD_URL: baseUrl, POSTROAD_KEY: key, POSTROAD_DOMAIN: domain, POSTROAD_MODE: mode } = process.env;
assert.ok(baseUrl && key && domain, 'POSTROAD_URL, POSTROAD_KEY and POSTROAD_DOMAIN must be set');

const resend = new Resend(key, { baseUrl });
const from = `Acme <acme@${domain}>`;

async function eventually(what, check) {
  const end = Date.now() + 20_000;
  for (;;) {
    const found = await check();
    if (found) return found;
    assert.ok(Date.now() < end, `waited in vain until ${what}`);
    await new Promise((next) => setTimeout(next, 30));
  }
}

// ok returns the data of an answer that is no error.
function ok({ data, error }) {
  assert.equal(error, null);
  return data;
}

// refused checks the error of an answer.
function refused({ data, error }, statusCode, name) {
  assert.equal(data, null);
  assert.deepEqual([error.statusCode, error.name], [statusCode, name], error.message);
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test('send with everything, read it back', async () => {
  const { id } = ok(await resend.emails.send({
    from, to: 'js-r-bob@example.net', cc: ['js-r-cc@example.net'], bcc: 'js-r-bcc@example.net', replyTo: `reply@${domain}`,
    subject: 'Grüße', html: '<p>rich <img src="cid:dot"></p>', text: 'plain words', headers: { 'X-Entity-Ref-ID': '7' },
    tags: [{ name: 'category', value: 'welcome' }],
    attachments: [{ filename: 'numbers.csv', content: Buffer.from('a,b\n1,2\n') }, { filename: 'dot.png', content: 'eA==', contentId: 'dot', contentType: 'image/png' }],
  }));
  assert.match(id, uuid);
  const email = await eventually('delivered', async () => {
    const e = ok(await resend.emails.get(id));
    return e.last_event === 'delivered' && e;
  });
  assert.equal(email.object, 'email');
  assert.deepEqual([email.from, email.to, email.cc, email.bcc, email.reply_to, email.subject],
    [from, ['js-r-bob@example.net'], ['js-r-cc@example.net'], ['js-r-bcc@example.net'], [`reply@${domain}`], 'Grüße']);
  assert.deepEqual([email.html, email.text, email.tags, email.scheduled_at],
    ['<p>rich <img src="cid:dot"></p>', 'plain words', [{ name: 'category', value: 'welcome' }], null]);
  assert.ok(Math.abs(Date.parse(email.created_at) - Date.now()) < 60_000);
});

test('batches', async () => {
  const one = (to) => ({ from, to, subject: 'Batch', html: '<p>x</p>' });
  const many = Array.from({ length: 100 }, (_, i) => one(`js-r-${i}@example.net`));
  const strict = ok(await resend.batch.send(many));
  assert.equal(new Set(strict.data.map((d) => d.id)).size, 100);
  refused(await resend.batch.send([one('js-r-x@example.net'), one('nobody')]), 422, 'validation_error');
  const some = ok(await resend.batch.send([one('nobody'), one('js-r-y@example.net')], { batchValidation: 'permissive' }));
  assert.equal(some.data.length, 1);
  assert.equal(some.errors[0].index, 0);
  refused(await resend.batch.send([]), 422, 'validation_error');
});

test('list by pages', async () => {
  const seen = [];
  for (let after; seen.length < 100;) {
    const page = ok(await resend.emails.list({ limit: 40, after }));
    assert.equal(page.object, 'list');
    seen.push(...page.data.map((e) => e.id));
    if (!page.has_more) break;
    after = seen.at(-1);
  }
  assert.ok(seen.length >= 100 && new Set(seen).size === seen.length, `${seen.length} emails`);
  const newer = ok(await resend.emails.list({ limit: 2, before: seen[5] }));
  assert.deepEqual(newer.data.map((e) => e.id), seen.slice(3, 5));
});

test('schedule, change, cancel', async () => {
  const at = new Date(Date.now() + 3_600_000).toISOString();
  const { id } = ok(await resend.emails.send({ from, to: 'js-r-later@example.net', subject: 'Later', text: 'x', scheduledAt: at }));
  let email = ok(await resend.emails.get(id));
  assert.deepEqual([email.last_event, Date.parse(email.scheduled_at)], ['scheduled', Date.parse(at)]);
  assert.deepEqual(ok(await resend.emails.update({ id, scheduledAt: new Date(Date.now() + 7_200_000).toISOString() })), { object: 'email', id });
  assert.deepEqual(ok(await resend.emails.cancel(id)), { object: 'email', id });
  email = ok(await resend.emails.get(id));
  assert.equal(email.last_event, 'canceled');
  refused(await resend.emails.cancel(id), 422, 'validation_error');
  ok(await resend.emails.send({ from, to: 'js-r-soon@example.net', subject: 'Soon', text: 'x', scheduledAt: 'in 1 hour' }));
});

test('idempotency', async () => {
  const mail = { from, to: 'js-r-once@example.net', subject: 'Once', text: 'x' };
  const options = { idempotencyKey: 'welcome-user/123' };
  const { id } = ok(await resend.emails.send(mail, options));
  assert.equal(ok(await resend.emails.send(mail, options)).id, id);
  refused(await resend.emails.send({ ...mail, subject: 'Twice' }, options), 409, 'invalid_idempotent_request');
  refused(await resend.emails.send(mail, { idempotencyKey: 'k'.repeat(257) }), 400, 'invalid_idempotency_key');
});

test('refusals', async () => {
  refused(await resend.emails.send({ from, to: 'a@example.net', subject: 'x' }), 422, 'missing_required_field');
  refused(await resend.emails.send({ from: 'nobody', to: 'a@example.net', subject: 'x', text: 'x' }), 422, 'invalid_from_address');
  refused(await resend.emails.get('00000000-0000-4000-8000-000000000000'), 404, 'not_found');
  refused(await resend.emails.get('7'), 422, 'invalid_parameter');
  refused(await resend.domains.list(), 404, 'not_found');
  refused(await resend.apiKeys.create({ name: 'x' }), 404, 'not_found');
  if (mode === 'serve') {
    refused(await new Resend('re_unknown', { baseUrl }).emails.list(), 403, 'invalid_api_key');
    refused(await resend.emails.send({ from: 'a@elsewhere.example', to: 'a@example.net', subject: 'x', text: 'x' }), 403, 'validation_error');
  }
});

test('webhooks, verified with both libraries', async (t) => {
  const got = [];
  const receiver = createServer((req, res) => {
    let body = '';
    req.setEncoding('utf8').on('data', (d) => { body += d; }).on('end', () => {
      got.push({ body, headers: req.headers });
      res.writeHead(204).end();
    });
  });
  await new Promise((ready) => receiver.listen(0, '127.0.0.1', ready));
  t.after(() => receiver.close());
  const endpoint = `http://127.0.0.1:${receiver.address().port}/hook`;
  const made = ok(await resend.webhooks.create({ endpoint, events: ['email.sent', 'email.delivered'] }));
  assert.match(made.id, uuid);
  const hook = ok(await resend.webhooks.get(made.id));
  assert.deepEqual([hook.object, hook.endpoint, hook.status, hook.signing_secret], ['webhook', endpoint, 'enabled', made.signing_secret]);
  assert.ok(ok(await resend.webhooks.list()).data.some((w) => w.id === made.id));

  const { id } = ok(await resend.emails.send({ from, to: 'js-r-hook@example.net', subject: 'Hook', text: 'x', tags: [{ name: 'a', value: 'b' }] }));
  await eventually('two calls', () => got.length >= 2);
  for (const { body, headers } of got) {
    const h = { id: headers['svix-id'], timestamp: headers['svix-timestamp'], signature: headers['svix-signature'] };
    const event = resend.webhooks.verify({ payload: body, headers: h, webhookSecret: made.signing_secret });
    assert.deepEqual(new Webhook(made.signing_secret).verify(body, headers), event);
    assert.deepEqual([event.data.email_id, event.data.from, event.data.to, event.data.subject, event.data.tags], [id, from, ['js-r-hook@example.net'], 'Hook', { a: 'b' }]);
    assert.ok(Math.abs(Date.parse(event.created_at) - Date.now()) < 60_000);
    assert.throws(() => resend.webhooks.verify({ payload: `${body} `, headers: h, webhookSecret: made.signing_secret }));
  }
  assert.deepEqual(got.map((g) => JSON.parse(g.body).type).sort(), ['email.delivered', 'email.sent']);

  const rotated = ok(await resend.webhooks.rotateSigningSecret(made.id));
  assert.notEqual(rotated.signing_secret, made.signing_secret);
  assert.deepEqual(ok(await resend.webhooks.update(made.id, { status: 'disabled' })), { object: 'webhook', id: made.id });
  assert.equal(ok(await resend.webhooks.get(made.id)).status, 'disabled');
  assert.deepEqual(ok(await resend.webhooks.remove(made.id)), { object: 'webhook', id: made.id, deleted: true });
  refused(await resend.webhooks.get(made.id), 404, 'not_found');
});
