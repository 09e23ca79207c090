import { tellWhatComesNext } from '../e2e/next.ts';
import { tellStaleStories } from '../e2e/stale-stories.ts';
import { tellStories } from '../e2e/stories.ts';

tellStories('3.22.0');
tellStaleStories('3.22.0');
tellWhatComesNext('3.22.0');
