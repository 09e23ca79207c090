import { tellDeletions } from './delete-stories.ts';

tellDeletions('4.1.4');
