import { tellStaleStories } from '../e2e/stale-stories.ts';
import { tellStories } from '../e2e/stories.ts';

tellStories('3.22.0');
tellStaleStories('3.22.0');
