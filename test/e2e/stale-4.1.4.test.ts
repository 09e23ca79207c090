import { tellStaleStories } from './stale-stories.ts';

tellStaleStories('4.1.4');
