import { tellStaleStories } from './stale-stories.ts';

tellStaleStories('3.9.4');
