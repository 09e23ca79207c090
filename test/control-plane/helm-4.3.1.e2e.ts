import { tellWhatComesNext } from '../e2e/next.ts';
import { tellStaleStories } from '../e2e/stale-stories.ts';
import { tellStories } from '../e2e/stories.ts';

tellStories('4.3.1');
tellStaleStories('4.3.1');
tellWhatComesNext('4.3.1');
