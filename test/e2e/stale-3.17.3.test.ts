import { tellStaleStories } from './stale-stories.ts';

tellStaleStories('3.17.3');
