// Drives a running server with mailgun.js. The Go test beside this directory
// starts the server and sets the environment; see ../node_test.go.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import test from 'node:test';
import Mailgun from 'mailgun.js';

const { POSTROAD_URL: url, POSTROAD_KEY: key, POSTROAD_DOMAIN: domain, POSTROAD_MODE: mode } = process.env;
assert.ok(url && key && domain, 'POSTROAD_URL, POSTROAD_KEY and POSTROAD_DOMAIN must be set');

const library = new Mailgun(FormData);
const client = (secret) => library.client({ username: 'api', key: secret, url });
const mg = client(key);

// eventually calls check until it returns something true.
async function eventually(what, check) {
  const end = Date.now() + 20_000;
  for (;;) {
    const found = await check();
    if (found) return found;
    assert.ok(Date.now() < end, `waited in vain until ${what}`);
    await new Promise((next) => setTimeout(next, 30));
  }
}

async function send(data) {
  const answer = await mg.messages.create(domain, data);
  assert.equal(answer.message, 'Queued. Thank you.');
  assert.match(answer.id, new RegExp(`^<[^<>]+@${domain}>$`));
  return answer.id.slice(1, -1);
}

// event waits for the one event of a type about a message and a recipient.
const event = (kind, id, recipient) => eventually(`${kind} for ${recipient}`, async () => {
  const { items } = await mg.events.get(domain, { event: kind, 'message-id': id, recipient });
  assert.ok(items.length < 2, `${items.length} ${kind} events for ${recipient}`);
  return items[0];
});

const refused = (status) => (error) => {
  assert.equal(error.status, status, `${error.status} ${error.details ?? error.message}`);
  return true;
};

test('send text, HTML, attachment, inline file, tags, variables; read it back', async () => {
  const id = await send({
    from: 'Ann <ann@example.com>', to: ['js-bob@example.net'], cc: 'js-cc@example.net', subject: 'Grüße',
    text: 'plain words', html: '<p>rich <img src="cid:dot.png"></p>',
    attachment: { filename: 'numbers.csv', data: Buffer.from('a,b\n1,2\n') },
    inline: [{ filename: 'dot.png', data: Buffer.from('not really a picture') }],
    'o:tag': ['first', 'second'], 'h:X-Own': 'value of mine', 'v:order': JSON.stringify({ id: 17 }),
  });
  const accepted = await event('accepted', id, 'js-bob@example.net');
  assert.deepEqual(accepted.tags, ['first', 'second']);
  for (const to of ['js-bob@example.net', 'js-cc@example.net']) {
    const delivered = await event('delivered', id, to);
    assert.equal(delivered['delivery-status'].code, 250);
  }
  const stored = await mg.messages.retrieveStoredEmail(domain, accepted.storage.key);
  assert.equal(stored.subject, 'Grüße');
  assert.equal(stored['body-plain'].trim(), 'plain words');
  assert.ok(stored['body-html'].includes('<p>rich'));
  assert.ok(stored.attachments.some((a) => a.name === 'numbers.csv'));
});

test('batch with recipient variables', async () => {
  const names = { 'js-eve@example.net': { name: 'Eve' }, 'js-dan@example.net': { name: 'Dan' } };
  const id = await send({
    from: 'ann@example.com', to: Object.keys(names), subject: 'For %recipient.name%', text: 'Dear %recipient.name%',
    'recipient-variables': JSON.stringify(names),
  });
  for (const to of Object.keys(names)) await event('delivered', id, to);
});

test('send MIME', async () => {
  const id = await send({
    to: 'js-mime@example.net',
    message: Buffer.from('From: ann@example.com\r\nTo: js-mime@example.net\r\nSubject: As it is\r\n\r\nwords\r\n'),
  });
  const delivered = await event('delivered', id, 'js-mime@example.net');
  assert.equal(delivered.message.headers.subject, 'As it is');
});

test('page through events', async () => {
  for (let i = 0; i < 3; i += 1) {
    const id = await send({ from: 'ann@example.com', to: 'js-page@example.net', subject: `Page ${i}`, text: 'words' });
    await event('accepted', id, 'js-page@example.net');
  }
  const query = { event: 'accepted', recipient: 'js-page@example.net', limit: 2 };
  const first = await mg.events.get(domain, query);
  const second = await mg.events.get(domain, { ...query, page: first.pages.next.page });
  const ids = [...first.items, ...second.items].map((item) => item.id);
  assert.deepEqual([first.items.length, second.items.length], [2, 1]);
  assert.equal(new Set(ids).size, 3);
});

test('domains', async () => {
  const name = 'js.example.org';
  const made = await mg.domains.create({ name, wildcard: true, web_scheme: 'https' });
  assert.equal(made.name, name);
  assert.ok(made.sending_dns_records.length >= 2);
  await assert.rejects(mg.domains.create({ name }), refused(400));
  assert.equal((await mg.domains.get(name)).name, name);
  const updated = await mg.domains.update(name, { wildcard: false });
  assert.equal(updated.wildcard, false);
  assert.equal((await mg.domains.verify(name)).name, name);
  assert.ok((await mg.domains.list()).some((d) => d.name === name));
  await mg.domains.updateConnection(name, { require_tls: true, skip_verification: false });
  assert.equal((await mg.domains.getConnection(name)).require_tls, true);
  await mg.domains.updateTracking(name, 'open', { active: 'yes' });
  assert.equal((await mg.domains.getTracking(name)).open.active, true);
  await mg.domains.domainCredentials.create(name, { login: 'js-user', password: 'long enough 1' });
  const { items } = await mg.domains.domainCredentials.list(name, { limit: 10, skip: 0 });
  assert.ok(items.some((item) => item.login === `js-user@${name}`));
  await mg.domains.destroy(name);
  await assert.rejects(mg.domains.get(name), refused(404));
});

test('webhooks', async () => {
  const calls = [];
  const receiver = createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      calls.push(JSON.parse(Buffer.concat(parts)));
      response.end('taken');
    });
  });
  await new Promise((ready) => receiver.listen(0, '127.0.0.1', ready));
  try {
    const to = `http://127.0.0.1:${receiver.address().port}/calls`;
    const made = await mg.webhooks.create(domain, 'delivered', to);
    assert.deepEqual(made.urls, [to]);
    assert.deepEqual((await mg.webhooks.get(domain, 'delivered')).urls, [to]);
    const id = await send({ from: 'ann@example.com', to: 'js-hook@example.net', subject: 's', text: 't' });
    const call = await eventually('the webhook is called',
      () => calls.find((c) => c['event-data'].message.headers['message-id'] === id));
    const { http_signing_key: signingKey } = await mg.accountManagement.getWebhookSigningKey();
    const { timestamp, token, signature } = call.signature;
    assert.equal(createHmac('sha256', signingKey).update(timestamp + token).digest('hex'), signature);
    const updated = await mg.webhooks.update(domain, 'delivered', [`${to}/a`, `${to}/b`]);
    assert.deepEqual(updated.urls.toSorted(), [`${to}/a`, `${to}/b`]);
    assert.ok((await mg.webhooks.list(domain)).delivered.urls.length === 2);
    await mg.webhooks.destroy(domain, 'delivered');
    assert.deepEqual((await mg.webhooks.get(domain, 'delivered')).urls, []);
  } finally {
    receiver.closeAllConnections();
    receiver.close();
  }
});

test('keys', async () => {
  const { key: made } = await mg.apiKeys.create({ role: 'sending', kind: 'domain', domain_name: domain, description: 'js' });
  const own = client(made.secret);
  await own.messages.create(domain, { from: 'ann@example.com', to: 'js-key@example.net', subject: 's', text: 't' });
  const { items } = await mg.apiKeys.list({ kind: 'domain', domain_name: domain });
  assert.ok(items.some((item) => item.id === made.id));
  await mg.apiKeys.destroy(made.id);
  if (mode === 'dev') return; // there any key works
  await assert.rejects(own.messages.create(domain, { from: 'ann@example.com', to: 'js-key@example.net', subject: 's', text: 't' }), refused(401));
});

test('suppressions', async () => {
  await mg.suppressions.create(domain, 'bounces', { address: 'js-gone@example.net', code: '550', error: 'no such user' });
  assert.equal((await mg.suppressions.get(domain, 'bounces', 'js-gone@example.net')).code, 550);
  const listed = await mg.suppressions.list(domain, 'bounces');
  assert.ok(listed.items.some((item) => item.address === 'js-gone@example.net'));
  await mg.suppressions.destroy(domain, 'bounces', 'js-gone@example.net');
  await assert.rejects(mg.suppressions.get(domain, 'bounces', 'js-gone@example.net'), refused(404));
});

test('routes', async () => {
  const made = await mg.routes.create({
    priority: '3', description: 'js', expression: 'match_recipient("js-(?P<user>.*)@samples.mailgun.org")',
    action: ['forward("http://127.0.0.1:9/messages/?to=\\g<user>")', 'stop()'],
  });
  assert.match(made.id, /^[0-9a-f]{24}$/);
  assert.deepEqual(made.actions, ['forward("http://127.0.0.1:9/messages/?to=\\g<user>")', 'stop()']);
  assert.deepEqual(await mg.routes.get(made.id), made);
  assert.equal((await mg.routes.matchAddress('js-ann@samples.mailgun.org')).id, made.id);
  await assert.rejects(mg.routes.matchAddress('ann@samples.mailgun.org'), refused(404));
  const updated = await mg.routes.update(made.id, { description: 'changed', expression: made.expression, action: ['store()'] });
  assert.equal(updated.message, 'Route has been updated');
  assert.deepEqual([updated.id, updated.description, updated.priority, updated.actions], [made.id, 'changed', 3, ['store()']]);
  assert.deepEqual((await mg.routes.list({ limit: 10, skip: 0 })).map((route) => route.id), [made.id]);
  await assert.rejects(mg.routes.create({ expression: 'match_recipient("(?=a)")', action: ['stop()'] }), refused(400));
  const gone = await mg.routes.destroy(made.id);
  assert.deepEqual(gone, { id: made.id, message: 'Route has been deleted' });
  await assert.rejects(mg.routes.get(made.id), refused(404));
});

test('what is refused', async () => {
  const message = { from: 'ann@example.com', to: 'js-bob@example.net', subject: 's' };
  await assert.rejects(mg.messages.create(domain, { ...message, to: 'not an address', text: 't' }), refused(400));
});

test('mailing lists', async () => {
  const address = `js-${mode}@${domain}`;
  const made = await mg.lists.create({ address, name: 'JS', access_level: 'everyone', reply_preference: 'sender' });
  assert.equal(made.address, address);
  assert.equal(made.access_level, 'everyone');
  assert.equal((await mg.lists.get(address)).name, 'JS');
  assert.equal((await mg.lists.update(address, { description: 'changed' })).description, 'changed');
  assert.ok((await mg.lists.list({ limit: 1 })).items.length === 1);
  const ann = await mg.lists.members.createMember(address, { address: 'js-ann@example.net', name: 'Ann', vars: { age: 26 }, subscribed: true, upsert: 'yes' });
  assert.deepEqual(ann.vars, { age: 26 });
  assert.equal(ann.subscribed, true);
  const updated = await mg.lists.members.createMembers(address, {
    members: [{ address: 'js-b@example.net', name: 'B', vars: JSON.stringify({ n: 1 }), subscribed: false }, { address: 'js-c@example.net', subscribed: true }],
    upsert: 'no',
  });
  assert.equal(updated.list.members_count, 3);
  const first = await mg.lists.members.listMembers(address, { limit: 2 });
  assert.deepEqual(first.items.map((item) => item.address), ['js-ann@example.net', 'js-b@example.net']);
  const second = await mg.lists.members.listMembers(address, { page: first.pages.next.page, limit: 2 });
  assert.deepEqual(second.items.map((item) => item.address), ['js-c@example.net']);
  assert.equal((await mg.lists.members.getMember(address, 'js-b@example.net')).subscribed, false);
  assert.equal((await mg.lists.members.updateMember(address, 'js-c@example.net', { subscribed: false })).subscribed, false);
  const id = await send({ from: 'ann@example.com', to: address, subject: 'To %recipient_name%', text: 'age %recipient.age%' });
  const delivered = await event('delivered', id, 'js-ann@example.net');
  assert.equal(delivered.message.headers.subject, 'To Ann');
  assert.equal(delivered['mailing-list'].address, address);
  await mg.lists.members.destroyMember(address, 'js-c@example.net');
  await mg.lists.destroy(address);
  await assert.rejects(mg.lists.get(address), refused(404));
});

test('tags', async () => {
  const name = `js ${mode} tag`;
  const id = await send({ from: 'ann@example.com', to: 'js-tag@example.net', subject: 's', text: 't', 'o:tag': [name, `js-${mode}-other`] });
  await event('delivered', id, 'js-tag@example.net');

  const { domainTags } = mg.domains;
  const first = await domainTags.list(domain, { prefix: 'js', limit: 1 });
  assert.deepEqual(first.items.map((item) => item.tag), [name]);
  const second = await domainTags.list(domain, { page: first.pages.next.page, limit: 1 });
  assert.deepEqual(second.items.map((item) => item.tag), [`js-${mode}-other`]);
  const one = await domainTags.get(domain, name.toUpperCase());
  assert.equal(one.tag, name);
  assert.ok(one['first-seen'] <= one['last-seen']);
  assert.deepEqual(await domainTags.update(domain, name, 'of Node'), { message: 'Tag updated' });
  const stats = await domainTags.statistic(domain, name, { event: ['accepted', 'delivered'], duration: '1m' });
  assert.equal(stats.description, 'of Node');
  assert.equal(stats.resolution, 'month');
  assert.equal(stats.stats.at(-1).accepted.total + stats.stats.at(-1).delivered.smtp, 2);
  assert.ok(stats.end instanceof Date && !Number.isNaN(stats.end.valueOf()));
  assert.equal((await domainTags.providers(domain, name)).provider.other.delivered, 1);
  assert.equal((await domainTags.countries(domain, name)).country.de.opened, 0);
  assert.equal((await domainTags.devices(domain, name)).device.mobile.clicked, 0);
  assert.deepEqual(await domainTags.destroy(domain, `js-${mode}-other`), { message: 'Tag deleted', status: 200 });

  const all = await mg.tags.list({ tag: 'js', pagination: { sort: 'lastseen:desc', limit: 10 }, include_subaccounts: true });
  assert.deepEqual(all.items.map((item) => item.tag), [name]);
  assert.equal(all.items[0].description, 'of Node');
  assert.ok(!Number.isNaN(all.items[0].last_seen.valueOf()));
  assert.equal((await mg.tags.limits()).limit_reached, false);
  assert.deepEqual(await mg.tags.update(name, 'again'), { message: 'Tag updated' });
  assert.deepEqual(await mg.tags.destroy(name), { message: 'Tag deleted' });
  await assert.rejects(mg.tags.destroy(name), refused(404));
});

test('templates', async () => {
  const templates = mg.domains.domainTemplates;
  const name = `js-${mode}`;
  const made = await templates.create(domain, { name: name.toUpperCase(), description: 'd', template: '<p>Hi {{name}}</p>', tag: 'V1', comment: 'c', headers: JSON.stringify({ Subject: 'For {{name}}' }) });
  assert.equal(made.name, name);
  assert.equal(made.version.tag, 'v1');
  assert.ok(made.createdAt instanceof Date && !Number.isNaN(made.createdAt.valueOf()));
  const added = await templates.createVersion(domain, name, { template: '<b>{{name}}</b>', tag: 'v2', active: 'yes' });
  assert.equal(added.template.version.active, true);
  assert.equal((await templates.get(domain, name, { active: 'yes' })).version.tag, 'v2');
  assert.equal((await templates.updateVersion(domain, name, 'v1', { active: 'yes', comment: 'n' })).templateVersion.tag, 'v1');
  assert.equal((await templates.getVersion(domain, name, 'v1')).version.comment, 'n');
  const versions = await templates.listVersions(domain, name, { limit: 1 });
  assert.deepEqual(versions.template.versions.map((v) => v.tag), ['v1']);
  const more = await templates.listVersions(domain, name, { page: 'next', p: 'v1', limit: 1 });
  assert.deepEqual(more.template.versions.map((v) => v.tag), ['v2']);
  await templates.create(domain, { name: `${name} other`, description: '' });
  const first = await templates.list(domain, { limit: 1 });
  const second = await templates.list(domain, { page: first.pages.next.page, limit: 1 });
  assert.deepEqual([...first.items, ...second.items].map((item) => item.name), [name, `${name} other`]);

  const id = await send({ from: 'ann@example.com', to: 'js-bob@example.net', template: name, 't:variables': JSON.stringify({ name: 'Bob' }), 't:text': 'yes' });
  const delivered = await event('delivered', id, 'js-bob@example.net');
  assert.equal(delivered.message.headers.subject, 'For Bob');
  assert.deepEqual(delivered.template, { name, version: 'v1', 'is-text': true });
  const stored = await mg.messages.retrieveStoredEmail(domain, delivered.storage.key);
  assert.match(stored['body-html'], /<p>Hi Bob<\/p>/);
  assert.match(stored['body-plain'], /^Hi Bob/);

  await assert.rejects(templates.createVersion(domain, name, { template: '{{#if}}', tag: 'bad' }), refused(400));
  assert.equal((await templates.update(domain, name, { description: 'e' })).templateName, name);
  await templates.destroyVersion(domain, name, 'v2');
  await templates.destroy(domain, name);
  await assert.rejects(templates.get(domain, name), refused(404));
});
