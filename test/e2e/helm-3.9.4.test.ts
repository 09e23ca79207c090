import { tellStories } from './stories.ts';

tellStories('3.9.4');
