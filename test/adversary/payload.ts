/** What a record holds, as Helm codes it: JSON, in gzip, in base64, and in base64 once more in a Secret. */
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Driver } from '../../src/helm/release.ts';
import type { Version } from './history.ts';

export function encodePayload(driver: Driver, json: string): string {
  const helms = gzipSync(json).toString('base64');
  return driver === 'secrets' ? Buffer.from(helms).toString('base64') : helms;
}

/** The JSON, byte by byte as characters: nothing is decoded that a clear might have changed. */
export function decodePayload(driver: Driver, payload: string): string {
  const helms = driver === 'secrets' ? Buffer.from(payload, 'base64').toString() : payload;
  return gunzipSync(Buffer.from(helms, 'base64')).toString('latin1');
}

/** The description that `helm history` shows; empty if there is none. */
export function descriptionOf(driver: Driver, { release = '' }: Version['data']): string {
  if (release === '') return '';
  const { info } = JSON.parse(Buffer.from(decodePayload(driver, release), 'latin1').toString());
  return info?.description ?? '';
}

/** The status that Helm itself reads; empty if there is none. */
export function statusIn(driver: Driver, { release = '' }: Version['data']): string {
  if (release === '') return '';
  const { info } = JSON.parse(Buffer.from(decodePayload(driver, release), 'latin1').toString());
  return info?.status ?? '';
}

/** What a clear changed beside the status and the description, in words. */
export function changedBeyondClearing(driver: Driver, was: Version, is: Version): string[] {
  const labels = { ...was.labels, status: 'failed' };
  const expected = asFailed(decodePayload(driver, was.data.release ?? ''), descriptionOf(driver, is.data));
  const found = decodePayload(driver, is.data.release ?? '');
  const isSame = (one: object, other: object) =>
    JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
  return [
    ...(isSame(labels, is.labels) ? [] : [`its labels became ${JSON.stringify(is.labels)}`]),
    ...(isSame(Object.keys(was.data), Object.keys(is.data)) ? [] : ['it has other keys']),
    ...(expected === found ? [] : ['its payload has changed in other places']),
  ];
}

function sorted(object: object): object {
  return Object.fromEntries(Object.entries(object).sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** The edit that is expected: by the text of the two members, as Helm and the synthetic client write them. */
function asFailed(json: string, description: string): string {
  const info = json.indexOf('"info":{');
  const text = Buffer.from(JSON.stringify(description)).toString('latin1');
  const head = json.slice(0, info);
  return (
    head +
    json
      .slice(info)
      .replace(/"status":"pending-[a-z]+"/, () => '"status":"failed"')
      .replace(/"description":"(?:[^"\\]|\\.)*"/, () => `"description":${text}`)
  );
}
