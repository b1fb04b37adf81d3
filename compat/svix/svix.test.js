// Checks webhooks of a running server with Svix's library and with that of Standard
// Webhooks, and signs ones for it. The Go test beside this directory starts the
// server and sets the environment; see ../svix_test.go.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import test from 'node:test';
import { Webhook as Standard } from 'standardwebhooks';
import { Webhook as Svix } from 'svix';

const { POSTROAD_URL: url, POSTROAD_KEY: key, RESEND_WEBHOOK_SECRET: secret } = process.env;
assert.ok(url && key && secret, 'POSTROAD_URL, POSTROAD_KEY and RESEND_WEBHOOK_SECRET must be set');

const authorization = 'Basic ' + Buffer.from(`api:${key}`).toString('base64');

async function api(method, path, body) {
  const response = await fetch(url + path, {
    method,
    headers: { authorization, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  assert.equal(response.status, 200, `${method} ${path}`);
  return response.json();
}

const body = (id) => JSON.stringify({
  type: 'email.delivered',
  created_at: new Date().toISOString(),
  data: { email_id: id, from: 'Acme <onboarding@example.org>', to: ['user@example.com'], subject: 'Grüße', tags: { category: 'welcome' } },
}, null, 2) + '\n';

// resend sends a webhook as Resend does.
async function resend(signer, id, text, at = new Date(), sent = text) {
  const response = await fetch(`${url}/api/webhooks/resend`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'svix-id': id,
      'svix-timestamp': String(Math.floor(at.getTime() / 1000)),
      'svix-signature': signer.sign(id, at, text),
    },
    body: sent,
  });
  return [response.status, await response.json()];
}

for (const [name, Library] of [['svix', Svix], ['standardwebhooks', Standard]]) {
  test(`what ${name} signs is taken`, async () => {
    const id = `msg_${name}_${Date.now()}`;
    const text = body(`email-${id}`);
    const signer = new Library(secret);
    assert.deepEqual(await resend(signer, id, text), [200, { success: true, stored: 1 }]);
    const later = new Date(Date.now() + 2000); // another attempt
    assert.deepEqual(await resend(signer, id, text, later), [200, { success: true, stored: 0 }]);
    const refused = [401, { error: 'Invalid webhook signature' }];
    assert.deepEqual(await resend(signer, id, text, later), refused);
    assert.deepEqual(await resend(signer, `${id}x`, text, new Date(), `${text} `), refused);
    assert.deepEqual(await resend(signer, `${id}y`, text, new Date(Date.now() - 301_000)), refused);
    assert.deepEqual(await resend(new Library('whsec_c2VjcmV0LW9mLXNvbWVib2R5LWVsc2U='), `${id}z`, text), refused);
    const { events } = await api('GET', `/api/email/events?messageId=email-${id}`);
    assert.equal(events.length, 1);
    assert.equal(events[0].sender, 'onboarding@example.org');
    assert.equal(events[0].subject, 'Grüße');
    assert.deepEqual(events[0].metadata, { category: 'welcome' });
  });
}

test('what is forwarded is verified', async () => {
  let arrived;
  const call = new Promise((resolve) => { arrived = resolve; });
  const server = createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      response.writeHead(204).end();
      arrived({ headers: request.headers, text: Buffer.concat(parts).toString() });
    });
  });
  await new Promise((listening) => { server.listen(0, '127.0.0.1', listening); });
  try {
    const { subscription } = await api('POST', '/api/webhooks/subscriptions', { url: `http://127.0.0.1:${server.address().port}/`, events: ['delivered'] });
    assert.match(subscription.secret, /^whsec_/);
    const id = `msg_forward_${Date.now()}`;
    await resend(new Svix(secret), id, body(`email-${id}`));
    const { headers, text } = await call;
    const event = new Svix(subscription.secret).verify(text, headers);
    assert.equal(event.messageId, `email-${id}`);
    assert.equal(event.type, 'delivered');
    const standard = Object.fromEntries(['id', 'timestamp', 'signature'].map((name) => [`webhook-${name}`, headers[`svix-${name}`]]));
    assert.deepEqual(new Standard(subscription.secret).verify(text, standard), event);
    assert.throws(() => new Svix(subscription.secret).verify(text.replace('delivered', 'bounced'), headers));
    assert.throws(() => new Standard(secret).verify(text, standard));
    assert.deepEqual(await api('DELETE', `/api/webhooks/subscriptions/${subscription.id}`), { success: true });
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
