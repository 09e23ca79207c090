import { tellHelmStories } from './helm-stories.ts';

tellHelmStories('3.17.3');
