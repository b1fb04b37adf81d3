// Sends three messages on one connection with nodemailer: send.js PORT CAFILE
import { readFileSync } from 'node:fs';
import nodemailer from 'nodemailer';

const [, , port, ca] = process.argv;
const transport = nodemailer.createTransport({
  host: '127.0.0.1', port: Number(port), secure: false, requireTLS: true, pool: true, maxConnections: 1,
  name: 'node.example.com', auth: { user: 'user', pass: 'pass word' },
  tls: { ca: readFileSync(ca), servername: 'mx.example.com' },
});
for (let n = 0; n < 3; n++) {
  const info = await transport.sendMail({
    envelope: { from: 'a@example.com', to: ['b@example.com', 'reject@example.com'] },
    raw: `Subject: ${n}\r\n\r\n.dot\r\n..\nend`,
    dsn: { id: `id ${n}`, return: 'headers', notify: ['failure', 'delay'], recipient: 'orig+x@example.com' },
  });
  if (!info.response.includes('queued as q1') || info.rejected.join() !== 'reject@example.com') throw new Error(JSON.stringify(info));
}
transport.close();
