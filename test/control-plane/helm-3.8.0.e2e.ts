import { tellStaleStories } from '../e2e/stale-stories.ts';
import { tellStories } from '../e2e/stories.ts';

tellStories('3.8.0');
tellStaleStories('3.8.0');
