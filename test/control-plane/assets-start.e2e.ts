import t from 'tap';
import { withAssets } from './assets.ts';
import { controlPlaneStories } from './stories.ts';

controlPlaneStories(await withAssets(t));
