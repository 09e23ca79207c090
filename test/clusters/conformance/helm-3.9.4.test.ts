import { tellHelmStories } from './helm-stories.ts';

tellHelmStories('3.9.4');
