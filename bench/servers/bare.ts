/** As little as a webhook can be: Fastify, TLS, and a readiness. */
import { readFileSync } from 'node:fs';
import fastify from 'fastify';

const { LOCKKEEPER_TLS_CERT_FILE = '', LOCKKEEPER_TLS_KEY_FILE = '', BENCH_PORT } = process.env;
const https = { cert: readFileSync(LOCKKEEPER_TLS_CERT_FILE), key: readFileSync(LOCKKEEPER_TLS_KEY_FILE) };
const app = fastify({ https });
app.get('/readyz', () => 'ok\n');
await app.listen({ host: '127.0.0.1', port: Number(BENCH_PORT) });
