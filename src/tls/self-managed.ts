/**
 * A serving certificate without anybody's help: an authority that all replicas share through a Secret, and one
 * certificate for each replica, signed in its memory and stored nowhere.
 */
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import { type Reconciler, startReconciler } from '../reconciler.ts';
import { timestamp } from '../timestamp.ts';
import {
  type Authorities,
  bundleOf,
  forget,
  introduce,
  nextStep,
  promote,
  type Step,
} from './authorities.ts';
import { readData, type SecretData, writeData } from './authority-data.ts';
import { renewalOf, validityOf } from './certificate.ts';
import { issueAuthority, issueServingCertificate, type KeyPair } from './issue.ts';
import type { CertificateSource } from './source.ts';

/** The Secret. Whoever writes it first has written it, and the others read it again. */
export interface AuthorityStore<Stored extends StoredAuthority = StoredAuthority> {
  readonly namespace: string;
  readonly name: string;
  /** Undefined if there is none. */
  read(signal: AbortSignal): Promise<Stored | undefined>;
  /** Whether it was written; somebody else may have been first. */
  create(data: SecretData, signal: AbortSignal): Promise<boolean>;
  /** Whether it was written; it may be another by now. */
  replace(stored: Stored, data: SecretData, signal: AbortSignal): Promise<boolean>;
}

export interface StoredAuthority {
  readonly data?: SecretData;
}

export interface SelfManagedOptions<Stored extends StoredAuthority> {
  readonly store: AuthorityStore<Stored>;
  /** DNS names and IP addresses that replicas are called by. */
  readonly hosts: readonly string[];
  /** How long a new certificate lives. */
  readonly certificateSeconds: number;
  readonly authoritySeconds: number;
  /** When it was first seen that API servers are told to trust this PEM certificate, in milliseconds since 1970. */
  readonly publishedSince: (certificate: string) => number | undefined;
  /** There are other authorities to be told of. */
  readonly onBundle: () => void;
  readonly clock: Pick<Clock, 'after' | 'date'>;
  readonly random: () => number;
  readonly log: Logger;
}

export interface SelfManagedSource extends CertificateSource {
  /** PEM of all authorities that API servers are to trust; undefined before they were read. */
  bundle(): string | undefined;
  /** When the one that signs expires, in milliseconds since 1970. */
  authorityExpiresAt(): number | undefined;
  /** The Secret has changed, or a bundle was made known. */
  wake(): void;
}

const DAY_SECONDS = 86_400;

/** Replicas that start together lose a few times; whoever loses more often takes a breath first. */
const MAX_LOSSES = 5;

const ASLEEP: Reconciler = { wake: () => {}, stop: async () => {} };

export function selfManaged<Stored extends StoredAuthority>(
  options: SelfManagedOptions<Stored>,
): SelfManagedSource {
  const { store, publishedSince, onBundle, clock, random, log } = options;
  const name = `Secret ${store.namespace}/${store.name}`;
  let authorities: Authorities | undefined;
  /** The authority that signed what is served, and when that is to be renewed. */
  let signedBy: string | undefined;
  let renewAt = Number.POSITIVE_INFINITY;
  let problem: string | undefined = `${name} has not been read yet`;
  let reconciler = ASLEEP;

  /** Reads the authorities, and writes what is to be changed of them. Returns until when they may stay as they are. */
  async function settle(signal: AbortSignal, losses = 0): Promise<number> {
    if (losses === MAX_LOSSES)
      throw new Error(`${name} was changed by others each time it was to be written`);
    const again = (isWritten: boolean) => settle(signal, isWritten ? losses : losses + 1);
    const stored = await store.read(signal);
    const found = authoritiesIn(stored);
    if (found === undefined) return again(await write(stored, await anew(), 'made a new authority', signal));
    // Also when the next step cannot be written: what is there is good to sign with.
    learn(found);
    const step = stepFor(found);
    if (step.kind === 'wait') return step.until;
    return again(await write(stored, await changed(found, step), TOLD[step.kind], signal));
  }

  /** What was written is read again by whoever calls this: somebody else may have been first. */
  async function write(
    stored: Stored | undefined,
    wanted: Authorities,
    told: string,
    signal: AbortSignal,
  ): Promise<boolean> {
    const data = writeData(wanted, stored?.data);
    const isWritten = stored ? await store.replace(stored, data, signal) : await create(data, signal);
    if (isWritten) log.info({ secret: name }, told);
    return isWritten;
  }

  /** @throws Error in words when nobody but a person can tell what they are now */
  function authoritiesIn(stored: Stored | undefined): Authorities | undefined {
    // It may be that Lockkeeper is just being uninstalled, and its Secret is gone before it.
    if (stored === undefined && authorities !== undefined) {
      throw new Error(`${name} is gone; it is made anew when lockkeeper starts the next time`);
    }
    const reading = readData(stored?.data);
    if (reading.kind === 'unusable') {
      const empty = `kubectl patch secret ${store.name} -n ${store.namespace} -p '{"data":{"tls.crt":"","tls.key":""}}'`;
      throw new Error(
        `${name}: ${reading.problem}. Mend it, or empty it, and lockkeeper makes a new one: ${empty}`,
      );
    }
    return reading.kind === 'authorities' ? reading.authorities : undefined;
  }

  function stepFor(found: Authorities): Step {
    return nextStep(found, clock.date(), found.next && publishedSince(found.next.certificate));
  }

  /** Emptied while its authority is in use, the Secret gets it back; it signs until its successor is known. */
  async function anew(): Promise<Authorities> {
    const made = await newAuthority();
    return authorities
      ? { signing: authorities.signing, next: made, previous: [] }
      : { signing: made, previous: [] };
  }

  async function changed(found: Authorities, step: Exclude<Step, { kind: 'wait' }>): Promise<Authorities> {
    switch (step.kind) {
      case 'introduce':
        return introduce(found, await newAuthority());
      case 'promote':
        return promote(found, step.next);
      case 'replace':
        return promote(found, await newAuthority());
      case 'forget':
        return forget(found, clock.date());
    }
  }

  function newAuthority(): Promise<KeyPair> {
    const now = new Date(clock.date());
    // No two bear the same name. The moment comes first, because a long name is cut.
    const commonName = `${timestamp(now.getTime())} ${store.name}`;
    return issueAuthority({ commonName, validDays: options.authoritySeconds / DAY_SECONDS, now });
  }

  async function create(data: SecretData, signal: AbortSignal): Promise<boolean> {
    try {
      return await store.create(data, signal);
    } catch (error) {
      const { message } = error as Error;
      const command = `kubectl create secret generic ${store.name} -n ${store.namespace}`;
      throw new Error(`there is no ${name}, and lockkeeper cannot make it: ${command} (${message})`);
    }
  }

  function learn(found: Authorities): void {
    const before = authorities && bundleOf(authorities);
    authorities = found;
    if (bundleOf(found) !== before) onBundle();
  }

  /** Signs a certificate, if there is none that the signing authority has signed, or its time has come. */
  async function renew({ signing }: Authorities, serve: (pair: KeyPair) => void): Promise<void> {
    const now = clock.date();
    const leftSeconds = (validityOf(signing.certificate).to - now) / 1000;
    const isGood = signedBy === signing.certificate && now < renewAt;
    if (isGood || leftSeconds <= 0) return;
    const pair = await issueServingCertificate(signing, {
      hosts: options.hosts,
      validDays: Math.min(options.certificateSeconds, leftSeconds) / DAY_SECONDS,
      now: new Date(now),
    });
    serve(pair);
    signedBy = signing.certificate;
    renewAt = renewalOf(pair.certificate);
    log.info({ until: timestamp(validityOf(pair.certificate).to) }, 'serves a new certificate');
  }

  return {
    start(serve) {
      async function reconcile(signal: AbortSignal): Promise<number> {
        let until = 0;
        try {
          until = await settle(signal);
        } finally {
          // Also when the Secret is out of reach: what was known of it is good for months.
          if (authorities !== undefined) await renew(authorities, serve);
        }
        problem = undefined;
        return Math.min(until, renewAt) - clock.date();
      }
      reconciler = startReconciler({
        reconcile,
        onError(error) {
          const { message } = error as Error;
          if (message !== problem) log.warn({ reason: message }, 'the authority cannot be looked after');
          problem = message;
        },
        clock,
        random,
      });
    },
    problem: () => problem,
    bundle: () => authorities && bundleOf(authorities),
    authorityExpiresAt: () => authorities && validityOf(authorities.signing.certificate).to,
    wake: () => reconciler.wake(),
    stop: () => reconciler.stop(),
  };
}

const TOLD: Readonly<Record<Exclude<Step['kind'], 'wait'>, string>> = {
  introduce: 'made the next authority, which signs when it is known',
  promote: 'the next authority signs from now on',
  replace: 'the authority has expired, a new one signs from now on',
  forget: 'left out what has expired',
};
