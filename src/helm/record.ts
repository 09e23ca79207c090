/**
 * What a Helm record holds: the release as JSON, in gzip, in base64, as `pkg/storage/driver/util.go` of Helm
 * codes it. One edit is made here, and every byte of the JSON that it does not concern stays as it was.
 *
 * Values and manifests are full of passwords, so no part of a record is ever told in words.
 */
import { promisify } from 'node:util';
import { constants, gunzip, gzip } from 'node:zlib';
import { findMember, isJson, type Member, membersOf, Refusal } from './json-members.ts';
import { type Driver, isPending } from './release.ts';

/** The whole payload anew, coded as it was; or why there is none: a clause for a person, to follow a colon. */
export type Edit =
  | { readonly kind: 'edited'; readonly payload: string }
  | { readonly kind: 'refused'; readonly reason: string; readonly status?: string };

/**
 * The longest JSON that is unpacked, in bytes. A Secret or a ConfigMap has room for 1 MiB (MaxSecretSize in
 * k8s.io/api/core/v1), so for 768 KiB of gzip below Helm's base64. This is 21 times as much, and text of
 * templates and manifests shrinks to a third or a fifteenth. An edit of it needs some 100 MB for half a second.
 */
export const MAX_JSON_BYTES = 16 * 1024 * 1024;

/** Helm’s statuses (`pkg/release/status.go`) that are not pending: all that is ever told of a record. */
const OTHER_STATUSES = ['unknown', 'deployed', 'uninstalled', 'superseded', 'failed', 'uninstalling'];

/**
 * Ends a pending revision in the text of `data.release`, as the API shows it: `info.status` becomes `failed`
 * and `info.description` becomes `description`. Refused unless it is certain what Helm reads in the record.
 */
export async function markFailed(driver: Driver, payload: string, description: string): Promise<Edit> {
  try {
    const packed = decode(driver, payload);
    const json = await unpack(packed);
    const edited = Buffer.from(await editRelease(json, description), 'latin1');
    return { kind: 'edited', payload: encode(driver, isGzip(packed) ? await zip(edited) : edited) };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { message: reason, status } = error;
    return { kind: 'refused', reason, ...(status !== undefined && { status }) };
  }
}

/**
 * The status that Helm itself reads in the text of `data.release`, whatever the label says. Undefined if the payload cannot be
 * read for certain.
 */
export async function readStatus(driver: Driver, payload: string): Promise<string | undefined> {
  try {
    const json = await unpack(decode(driver, payload));
    const start = json.search(/\S/);
    const info = json[start] === '{' ? findMember('info', await membersOf(json, start)) : undefined;
    if (info === undefined || json[info.start] !== '{' || !isJson(json)) return undefined;
    const status = findMember('status', await membersOf(json, info.start));
    const text: unknown = status && JSON.parse(json.slice(status.start, status.end));
    return typeof text === 'string' ? text : undefined;
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}

/** Helm's base64; around it there is that of Kubernetes for a Secret, and nothing for a ConfigMap. */
function decode(driver: Driver, payload: string): Buffer {
  return fromBase64(driver === 'secrets' ? fromBase64(payload).toString('latin1') : payload);
}

function encode(driver: Driver, bytes: Buffer): string {
  const text = bytes.toString('base64');
  return driver === 'secrets' ? Buffer.from(text).toString('base64') : text;
}

/** Strict but for line breaks: Go skips them, and `base64` writes them for a person who mends a record. */
function fromBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text.replaceAll(/[\r\n]/g, ''))
    throw new Refusal('its payload is not base64');
  return bytes;
}

/** Helm's own test: it reads what is not gzip as plain JSON. */
function isGzip(bytes: Buffer): boolean {
  return bytes.length > 3 && bytes[0] === 0x1f && bytes[1] === 0x8b && bytes[2] === 0x08;
}

/** The JSON, one character for each byte: no text is decoded, so none is encoded in another way. */
async function unpack(packed: Buffer): Promise<string> {
  return (isGzip(packed) ? await unzip(packed) : packed).toString('latin1');
}

/** Works in the thread pool, and stops at MAX_JSON_BYTES. */
async function unzip(bytes: Buffer): Promise<Buffer> {
  try {
    // Go fails at what follows the gzip, where Node would drop it unseen.
    return await promisify(gunzip)(bytes, { maxOutputLength: MAX_JSON_BYTES, rejectGarbageAfterEnd: true });
  } catch (error) {
    const tooLong = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    throw new Refusal(tooLong ? 'its payload is too long when unpacked' : 'its payload is damaged gzip');
  }
}

/** Works in the thread pool, at the level of Helm's `gzip.BestCompression`. */
function zip(bytes: Buffer): Promise<Buffer> {
  return promisify(gzip)(bytes, { level: constants.Z_BEST_COMPRESSION });
}

/** The edit itself; `json` and what is returned are bytes, each as one character. */
async function editRelease(json: string, description: string): Promise<string> {
  const start = json.search(/\S/);
  // Counted before it is parsed, and used only when it is parsed: membersOf trusts its text.
  const release = json[start] === '{' ? await membersOf(json, start) : undefined;
  if (release === undefined || !isJson(json)) throw new Refusal('its payload is not a JSON object');
  const info = findMember('info', release);
  if (info === undefined || json[info.start] !== '{') throw new Refusal('it has no info');

  const members = await membersOf(json, info.start);
  const status = findMember('status', members);
  const was: unknown = status && JSON.parse(json.slice(status.start, status.end));
  if (status === undefined || typeof was !== 'string') throw new Refusal('it has no info.status');
  if (!isPending(was)) throw notPending(was);

  const text = Buffer.from(JSON.stringify(description)).toString('latin1');
  const described = findMember('description', members);
  if (described === undefined) return replace(json, [[status, `"failed","description":${text}`]]);
  return replace(json, [
    [status, '"failed"'],
    [described, text],
  ]);
}

function replace(json: string, values: [Member, string][]): string {
  let edited = '';
  let from = 0;
  for (const [{ start, end }, value] of values.sort(([one], [other]) => one.start - other.start)) {
    edited += json.slice(from, start) + value;
    from = end;
  }
  return edited + json.slice(from);
}

function notPending(status: string): Refusal {
  return OTHER_STATUSES.includes(status)
    ? new Refusal(`its own status is ${status}, not pending`, status)
    : new Refusal('its own status is none of Helm’s');
}
