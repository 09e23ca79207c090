import t from 'tap';
import { withAssets } from './assets.ts';
import { endings } from './endings.ts';

endings(await withAssets(t), { isOther: true });
