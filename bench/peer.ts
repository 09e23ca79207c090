import type { Bench } from './measurement.ts';
import type { Section } from './report.ts';

export async function measurePeer(_bench: Bench): Promise<Section> {
  return { title: 'Beside a webhook of Pepr', about: '', tables: [], targets: [] };
}
