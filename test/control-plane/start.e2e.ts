import { controlPlaneStories } from './stories.ts';

controlPlaneStories({});
