/** The one edit of a record: two values change, and every other byte of the release stays. */
import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { MAX_JSON_MARKS } from '../../src/helm/json-members.ts';
import { MAX_JSON_BYTES, markFailed, readStatus } from '../../src/helm/record.ts';
import { DRIVERS, type Driver, isPending } from '../../src/helm/release.ts';
import { fixture, fixtureNames } from '../fixtures/reviews.ts';

const DESCRIPTION = 'ended by lockkeeper';

/** `data.release` for the bytes below Helm's base64. */
function encoded(driver: Driver, bytes: Buffer): string {
  const text = bytes.toString('base64');
  return driver === 'secrets' ? Buffer.from(text).toString('base64') : text;
}

function decoded(driver: Driver, payload: string): Buffer {
  const text = driver === 'secrets' ? Buffer.from(payload, 'base64').toString() : payload;
  return Buffer.from(text, 'base64');
}

/** The JSON's bytes after the edit, one character for each. */
async function edited(
  t: Test,
  json: Buffer | string,
  { driver = 'secrets' as Driver, zipped = true, description = DESCRIPTION } = {},
): Promise<string> {
  const bytes = Buffer.from(json as string);
  const edit = await markFailed(driver, encoded(driver, zipped ? gzipSync(bytes) : bytes), description);
  if (edit.kind === 'refused') {
    t.fail(edit.reason);
    return '';
  }
  const stored = decoded(driver, edit.payload);
  return (zipped ? gunzipSync(stored) : stored).toString('latin1');
}

async function reasonOf(t: Test, json: Buffer | string, name: string): Promise<string> {
  const edit = await markFailed(
    'configmaps',
    encoded('configmaps', Buffer.from(json as string)),
    DESCRIPTION,
  );
  t.equal(edit.kind, 'refused', name);
  return edit.kind === 'refused' ? edit.reason : '';
}

const latin1 = (text: string) => Buffer.from(text).toString('latin1');

t.test('the two values change in what Helm itself stored, and nothing else', async (t) => {
  const pending = fixtureNames.filter((name) =>
    isPending(fixture(name).request.object?.metadata.labels.status),
  );
  t.equal(pending.length, 12, 'Helm 3.9, 3.17 and 4.1; install, upgrade and rollback; both drivers');
  for (const name of pending) {
    const { resource, object } = fixture(name).request;
    const driver = resource.resource as Driver;
    const payload = object?.data.release ?? '';
    const edit = await markFailed(driver, payload, DESCRIPTION);
    if (edit.kind === 'refused') return t.fail(`${name}: ${edit.reason}`);

    const before = gunzipSync(decoded(driver, payload)).toString('latin1');
    const after = gunzipSync(decoded(driver, edit.payload)).toString('latin1');
    const release = JSON.parse(before);
    t.strictSame(
      JSON.parse(after),
      { ...release, info: { ...release.info, status: 'failed', description: DESCRIPTION } },
      name,
    );
    t.equal(
      after,
      before.replace(
        /"description":"[^"]*","status":"pending-\w+"/,
        `"description":"${DESCRIPTION}","status":"failed"`,
      ),
      'byte for byte',
    );
  }
});

t.test('what Helm reads as the status is read', async (t) => {
  for (const name of fixtureNames) {
    const { resource, object } = fixture(name).request;
    if (object === null) continue;
    const status = await readStatus(resource.resource as Driver, object.data.release);
    t.equal(status, object.metadata.labels.status, `${name}: its label says the same`);
  }
  const ofJson = (json: string, driver: Driver = 'secrets') =>
    readStatus(driver, encoded(driver, Buffer.from(json)));
  for (const driver of DRIVERS) t.equal(await ofJson(' {"info":{"status":"deployed"}}', driver), 'deployed');
  t.equal(await ofJson('{"info":{"status":"pending-lunch"}}'), 'pending-lunch', 'whatever it is');
  const unreadable = [
    '',
    '[]',
    '{}',
    '{"info":"failed"}',
    '{"info":{}}',
    '{"info":{"status":7}}',
    '{"info":{"status":"failed"}} and more',
    '{"info":{"status":"failed"},"INFO":{"status":"deployed"}}',
    '{"info":{"status":"failed","Status":"deployed"}}',
  ];
  for (const json of unreadable) t.equal(await ofJson(json), undefined, json);
  t.equal(await readStatus('secrets', '%%%'), undefined, 'it is not base64');
});

t.test('values that a parser would not give back stay as they are', async (t) => {
  const hard = [
    '12345678901234567890',
    '1.0',
    '1e3',
    '-0',
    '1E400',
    '0.1000000000000000055511151231257827',
    String.raw`"\u00e9 \ud83d\ude00 \ud800 \/ \u003c \\\" \\"`,
    '"é 😀 \u2028 </script>"',
    Buffer.from([0x22, 0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80, 0x22]),
    '{"info":{"status":"pending-install","description":"d"},"a":1,"a":2,"__proto__":{"x":[]}}',
    '"\\"info\\":{\\"status\\":\\"pending-upgrade\\"}"',
    ' \t\r\n[ 1 , [ ] , { } ,\n"]}" ]\t',
    `${'['.repeat(50_000)}${']'.repeat(50_000)}`,
  ];
  for (const value of hard) {
    const release = (status: string, description: string) =>
      Buffer.concat([
        Buffer.from(' {"config": {"v" :'),
        Buffer.from(value as string),
        Buffer.from(
          `}, "info" : {"notes":[{"status":"x"}],"status"\n:\t"${status}"\r, "description": ${description} , "v":`,
        ),
        Buffer.from(value as string),
        Buffer.from('} ,"version":1.0}\n'),
      ]);
    const expected = release('failed', `"${DESCRIPTION}"`).toString('latin1');
    for (const driver of DRIVERS)
      for (const zipped of [true, false]) {
        const after = await edited(t, release('pending-upgrade', '"old"'), { driver, zipped });
        t.ok(after === expected, `value ${hard.indexOf(value)} in ${driver}, ${zipped ? 'gzip' : 'plain'}`);
      }
  }
});

t.test('every JSON around the two values survives', async (t) => {
  const space = fc.stringMatching(/^[ \t\r\n]{0,3}$/);
  const json = fc.oneof(
    fc.json(),
    fc.json().map((text) => JSON.stringify(text)),
    fc.tuple(space, fc.json(), space).map((parts) => parts.join('')),
  );
  const status = fc.constantFrom('pending-install', 'pending-upgrade', 'pending-rollback');
  const others = fc.array(fc.tuple(fc.constantFrom('name', 'infos', 'stat', 'é', '', '}', '"'), json), {
    maxLength: 3,
  });
  const members = (list: readonly [string, string][]) =>
    list.map(([name, value]) => `${JSON.stringify(name)}:${value},`).join('');
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        status,
        description: fc.string({ unit: 'binary' }),
        old: fc.string(),
        a: others,
        b: others,
        space,
      }),
      fc.boolean(),
      fc.constantFrom(...DRIVERS),
      fc.boolean(),
      async ({ status, description, old, a, b, space }, zipped, driver, statusFirst) => {
        const release = (status: string, description: string) => {
          const two = [
            `"status":${space}"${status}"`,
            `"description"${space}:${JSON.stringify(description)}${space}`,
          ];
          const values = (statusFirst ? two : two.reverse()).join(`,${members(a)}`);
          return `${space}{${members(a)}"info"${space}:${space}{${members(b)}${values}},${members(b)}"version":7}`;
        };
        const after = await edited(t, release(status, old), { driver, zipped, description });
        return after === latin1(release('failed', description));
      },
    ),
  );
});

t.test('any text can be the description, and it need not be there before', async (t) => {
  const texts = [
    '',
    'plain',
    'a "quoted" \\ text',
    'two\nlines\t\u0000',
    'é 😀 „so“ \u2028',
    '\ud800 alone',
    '$& $1',
  ];
  for (const description of texts) {
    const text = latin1(JSON.stringify(description));
    for (const [before, after] of [
      ['{"status":"pending-install"}', `{"status":"failed","description":${text}}`],
      ['{"status":"pending-install" , "a":1}', `{"status":"failed","description":${text} , "a":1}`],
      ['{"description":null,"status":"pending-install"}', `{"description":${text},"status":"failed"}`],
      ['{"status":"pending-install","description":""}', `{"status":"failed","description":${text}}`],
      [
        String.raw`{"\u0073tatus":"pending\u002dinstall","descriptio\u006e":"x"}`,
        String.raw`{"\u0073tatus":"failed","descriptio\u006e":${text}}`,
      ],
    ] as const) {
      t.equal(await edited(t, `{"info":${before}}`, { description }), `{"info":${after}}`);
    }
  }
});

t.test('what was coded in another way is read, and written as Helm does', async (t) => {
  const json = Buffer.from('{"info":{"status":"pending-install","description":""}}');
  const after = `{"info":{"status":"failed","description":"${DESCRIPTION}"}}`;
  const wrapped = (text: string) => text.replaceAll(/.{20}/g, '$&\n');
  const byHand = encoded('configmaps', gzipSync(json, { level: 1 }));
  for (const [driver, payload] of [
    ['configmaps', `${wrapped(byHand)}\r\n`],
    ['secrets', wrapped(Buffer.from(wrapped(byHand)).toString('base64'))],
  ] as const) {
    const edit = await markFailed(driver, payload, DESCRIPTION);
    if (edit.kind === 'refused') return t.fail(edit.reason);
    t.match(edit.payload, /^[A-Za-z0-9+/]+={0,2}$/, 'without line breaks');
    const stored = decoded(driver, edit.payload);
    t.equal(stored[8], 2, 'with the best compression');
    t.equal(gunzipSync(stored).toString(), after);
  }
});

t.test('a record as large as a Secret can hold is edited', async (t) => {
  const before = '{"info":{"description":"old","status":"pending-upgrade"},"manifest":"';
  const after = `{"info":{"description":"${DESCRIPTION}","status":"failed"},"manifest":"`;
  // Digests do not compress below half of their hexadecimal digits.
  const noise = Array.from({ length: 23_000 }, (_, i) =>
    createHash('sha256').update(`${i}`).digest('hex'),
  ).join('');
  const text = String.raw`apiVersion: v1\nkind: \"ConfigMap\"\n`.repeat(450_000);
  const rows: [string, string][] = [
    ['incompressible', noise],
    ['compressible', text],
  ];
  for (const [name, manifest] of rows) {
    t.ok((await edited(t, `${before}${manifest}"}`)) === `${after}${manifest}"}`, name);
  }
  const mebibytes = encoded('configmaps', gzipSync(noise)).length / 1024 ** 2;
  t.ok(mebibytes > 0.95 && mebibytes < 1.05, `${mebibytes} MiB of base64 are the incompressible one`);
});

const release = (info: string) => `{"name":"api","info":${info},"version":7}`;
const NOT_OBJECT = 'its payload is not a JSON object';

t.test('what is not a release is refused', async (t) => {
  const rows: [json: string, reason: string][] = [
    ['', NOT_OBJECT],
    [' ', NOT_OBJECT],
    ['null', NOT_OBJECT],
    ['[]', NOT_OBJECT],
    ['"{}"', NOT_OBJECT],
    ['{', NOT_OBJECT],
    ['{"', NOT_OBJECT],
    ['{"\\', NOT_OBJECT],
    ['{"info":{"status":"pending-install"}', NOT_OBJECT],
    ['{"info":{"status":"pending-install"}} {}', NOT_OBJECT],
    ['{"info":{"status":"pending-install"},}', NOT_OBJECT],
    ['{"info":{"status":"pending-install"}/* a comment */}', NOT_OBJECT],
    ['{"info":{"status":"pending-install"}}// a comment', NOT_OBJECT],
    ["{'info':{'status':'pending-install'}}", NOT_OBJECT],
    ['{"a":01,"info":{"status":"pending-install"}}', NOT_OBJECT],
    ['{"a":"\n","info":{"status":"pending-install"}}', NOT_OBJECT],
    ['\ufeff{"info":{"status":"pending-install"}}', NOT_OBJECT],
    ['\u00a0{"info":{"status":"pending-install"}}', NOT_OBJECT],
    ['{"a":[}],"info":{"status":"pending-install"}}', NOT_OBJECT],
    ['{}', 'it has no info'],
    ['{"a":{"info":{"status":"pending-install"}}}', 'it has no info'],
    [release('null'), 'it has no info'],
    [release('[{"status":"pending-install"}]'), 'it has no info'],
    [release('"pending-install"'), 'it has no info'],
    [release('{}'), 'it has no info.status'],
    [release('{"a":{"status":"pending-install"}}'), 'it has no info.status'],
    [release('{"status":null}'), 'it has no info.status'],
    [release('{"status":["pending-install"]}'), 'it has no info.status'],
    [release('{"status":"pending"}'), 'its own status is none of Helm’s'],
    [release('{"status":"Pending-Install"}'), 'its own status is none of Helm’s'],
    ...['unknown', 'deployed', 'uninstalled', 'superseded', 'failed', 'uninstalling'].map(
      (status): [string, string] => [
        release(`{"status":"${status}"}`),
        `its own status is ${status}, not pending`,
      ],
    ),
  ];
  for (const [json, reason] of rows) t.equal(await reasonOf(t, json, json), reason);
});

t.test('what Go would read in a way of its own is refused', async (t) => {
  const status = '"status":"pending-install"';
  const rows: [json: string, reason: string][] = [
    [`{"info":{${status}},"info":{${status}}}`, 'it has info more than once'],
    [`{"info":{${status}},"INFO":{}}`, 'it has info more than once'],
    [`{"info":{${status}},"\\u0069nfo":null}`, 'it has info more than once'],
    [`{"Info":{${status}}}`, 'it has info in other letters'],
    [release(`{${status},${status}}`), 'it has status more than once'],
    [release(`{${status},"Status":"deployed"}`), 'it has status more than once'],
    [release(`{${status},"\u017ftatus":"deployed"}`), 'it has status more than once'],
    [release(`{${status},"\\u017ftatus":"deployed"}`), 'it has status more than once'],
    [release('{"STATUS":"pending-install"}'), 'it has status in other letters'],
    [release(`{${status},"description":"","description":""}`), 'it has description more than once'],
    [release(`{${status},"Description":""}`), 'it has description in other letters'],
  ];
  for (const [json, reason] of rows) t.equal(await reasonOf(t, json, json), reason);
  t.equal(
    await edited(t, `{"inf\u00f6":1,"infos":2,"info":{"state":1,${status}}}`),
    latin1(`{"inf\u00f6":1,"infos":2,"info":{"state":1,"status":"failed","description":"${DESCRIPTION}"}}`),
    'names that are only like them are others',
  );
});

t.test('what cannot be unpacked is refused', async (t) => {
  const zipped = gzipSync(release('{"status":"pending-install"}'));
  const broken = Buffer.from(zipped);
  broken.writeUInt8(broken.readUInt8(20) ^ 0xff, 20);
  const damaged: [string, Buffer][] = [
    ['truncated', zipped.subarray(0, -9)],
    ['without its length', zipped.subarray(0, -1)],
    ['with a wrong checksum', Buffer.concat([zipped.subarray(0, -8), Buffer.alloc(8)])],
    ['with a wrong byte', broken],
    ['only the magic', Buffer.from([0x1f, 0x8b, 0x08, 0x00])],
    ['with something behind it', Buffer.concat([zipped, Buffer.from('x')])],
    ['twice', Buffer.concat([zipped, zipped])],
  ];
  for (const driver of DRIVERS) {
    for (const [name, bytes] of damaged) {
      t.strictSame(
        await markFailed(driver, encoded(driver, bytes), DESCRIPTION),
        { kind: 'refused', reason: 'its payload is damaged gzip' },
        name,
      );
    }
    const good = encoded(driver, zipped);
    const payloads = [
      '*',
      'abc',
      '=',
      'YQ',
      'YR==',
      'a-_b',
      `${good}=`,
      good.slice(0, -1),
      ` ${good}`,
      `${good}é`,
    ];
    for (const payload of [...payloads, ...(driver === 'secrets' ? [encoded('configmaps', zipped)] : [])]) {
      t.strictSame(
        await markFailed(driver, payload, DESCRIPTION),
        { kind: 'refused', reason: 'its payload is not base64' },
        payload.slice(-20),
      );
    }
  }
  for (const bytes of [Buffer.alloc(0), Buffer.from([0x1f, 0x8b, 0x08]), Buffer.from('H4s')]) {
    t.equal(await reasonOf(t, bytes, 'no gzip to Helm either'), NOT_OBJECT);
  }
});

t.test('what is too large when unpacked is refused', async (t) => {
  const start = '{"info":{"status":"pending-install"},"a":"';
  const fits = Buffer.alloc(MAX_JSON_BYTES, 'x');
  fits.write(start);
  fits.write('"}', fits.length - 2);
  const edit = (bytes: Buffer) => markFailed('configmaps', encoded('configmaps', gzipSync(bytes)), '');
  t.equal((await edit(fits)).kind, 'edited', 'the limit itself is not');
  t.strictSame(await edit(Buffer.concat([fits, Buffer.from(' ')])), {
    kind: 'refused',
    reason: 'its payload is too long when unpacked',
  });
});

t.test('what has too many values is refused', async (t) => {
  const start = '{"info":{"status":"pending-install"},"a":[';
  const room = MAX_JSON_MARKS - 7; // what is in `start`: 2 of {, 3 of :, 1 of comma, 1 of [
  const full = (commas: number) => `${start}0${',0'.repeat(commas)}]}`;
  t.match(await edited(t, full(room)), /"failed"/, 'the limit itself is not');
  for (const json of [
    full(room + 1),
    `${start}${'['.repeat(MAX_JSON_MARKS)}`,
    `{"info":{${'"a":0,'.repeat(MAX_JSON_MARKS / 2)}"status":"pending-install"}}`,
  ]) {
    t.equal(await reasonOf(t, json, 'too many'), 'it has more values than a release can have');
  }
});

t.test('no reason quotes the record', async (t) => {
  const secret = 'hunter2';
  const json = `{"password":"${secret}","info":{"status":"${secret}","${secret}":"${secret}"}}`;
  const payloads = [
    secret,
    ...[
      json,
      `${json}${secret}`,
      secret,
      json.replace('"status"', '"x"'),
      json.replace('{', `{${secret}`),
    ].map((text) => encoded('configmaps', Buffer.from(text))),
    encoded('configmaps', Buffer.concat([Buffer.from([0x1f, 0x8b, 0x08]), Buffer.from(secret)])),
  ];
  for (const payload of payloads) {
    const edit = await markFailed('configmaps', payload, secret);
    t.equal(edit.kind, 'refused');
    t.notMatch(JSON.stringify(edit), secret);
  }
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), fc.nat(json.length), async (noise, cut) => {
      const bytes = Buffer.concat([Buffer.from(json.slice(0, cut)), noise, Buffer.from(json.slice(cut))]);
      const edit = await markFailed('configmaps', encoded('configmaps', bytes), '');
      return edit.kind === 'refused' && !edit.reason.includes(secret);
    }),
  );
});

t.test('a defect is no refusal', async (t) => {
  const payload = encoded('configmaps', Buffer.from(release('{"status":"pending-install"}')));
  await t.rejects(markFailed('configmaps', payload, 1n as never), TypeError);
  await t.rejects(readStatus('configmaps', 1n as never), TypeError);
});
