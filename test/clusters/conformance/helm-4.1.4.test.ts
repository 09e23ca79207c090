import { tellHelmStories } from './helm-stories.ts';

tellHelmStories('4.1.4');
