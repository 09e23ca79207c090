import { tellDeletions } from './delete-stories.ts';

tellDeletions('3.9.4');
