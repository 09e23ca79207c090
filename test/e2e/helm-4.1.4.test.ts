import { tellStories } from './stories.ts';

tellStories('4.1.4');
