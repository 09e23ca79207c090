import { tellStories } from './stories.ts';

tellStories('3.17.3');
